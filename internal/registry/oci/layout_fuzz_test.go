package oci_test

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// FuzzLayout reads layouts of any index.json and any manifest, as folders and archives.
// In both texts CONFIG, LAYER and MANIFEST stand for the digests of an existing config,
// layer and manifest. It finds a panic, and a source with missing parts.
func FuzzLayout(f *testing.F) {
	const image = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"CONFIG","size":2},` +
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"LAYER","size":5}]`
	const entry = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"MANIFEST","size":SIZE`
	index := func(entries string) []byte { return []byte(`{"schemaVersion":2,"manifests":[` + entries + `]}`) }
	f.Add(index(entry+`}`), []byte(image+`}`), false)
	f.Add(index(entry+`,"annotations":{"org.opencontainers.image.ref.name":"1.0.0"}}`), []byte(image+`,"subject":{"mediaType":"a/b","digest":"LAYER","size":5}}`), true)
	f.Add(index(entry+`,"annotations":{"kind":"dev.cosignproject.cosign/sigs"}},`+entry+`}`), []byte(image+`,"artifactType":"x"}`), false)
	f.Add(index(`{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"MANIFEST","size":SIZE}`), index(entry+`,"platform":{"os":"linux"}}`), true)
	f.Add([]byte(`{"manifests":[null,{}]}`), []byte(`[]`), false)
	f.Fuzz(func(t *testing.T, indexText, manifestText []byte, archive bool) {
		folder := filepath.Join(t.TempDir(), "layout")
		put := func(data []byte) string {
			d := digest.FromBytes(data)
			write(t, blobFile(folder, d), data)
			return d.String()
		}
		known := strings.NewReplacer("CONFIG", put([]byte(`{}`)), "LAYER", put([]byte(`layer`)))
		manifest := []byte(known.Replace(string(manifestText)))
		known = strings.NewReplacer("MANIFEST", put(manifest), "SIZE", strconv.Itoa(len(manifest)))
		write(t, filepath.Join(folder, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
		write(t, filepath.Join(folder, "index.json"), []byte(known.Replace(string(indexText))))
		open, path := oci.OpenLayout, folder
		if archive {
			open, path = oci.OpenLayoutArchive, folder+".tar"
			if err := registrytest.PackLayout(folder, path); err != nil {
				t.Fatal(err)
			}
		}
		l, err := open(path)
		if err != nil {
			return
		}
		defer func() { _ = l.Close() }()
		for _, entry := range l.Images[:min(len(l.Images), 10)] {
			_, _ = l.IsSatellite(t.Context(), entry)
			_, _ = l.Strays(t.Context())
			s, err := l.Source(t.Context(), entry)
			if err != nil {
				if !errors.Is(err, failure.ErrUnreadable) && !errors.Is(err, failure.ErrNotFound) {
					t.Errorf("an error of no known kind: %v", err)
				}
				continue
			}
			if s.Root.Descriptor.Digest.String() != digest.FromBytes(manifest).String() {
				t.Errorf("a source of %s, and the only manifest is %s", s.Root.Descriptor.Digest, digest.FromBytes(manifest))
			}
			_, _ = l.Satellites(t.Context(), entry, s)
		}
	})
}

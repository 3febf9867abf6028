package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// The size of a large store: artifacts in each manifest, versions of each artifact, and layers in each image.
const (
	artifactsEach, versionsEach, layersEach = 10, 50, 10
	imagesEach                              = artifactsEach * versionsEach
)

// library is a registry that generates images when they are requested. It accepts deletions without effect.
type library struct {
	*httptest.Server
	tags sync.Map // by repository@digest
}

// image returns the image manifest at a tag of a repository.
func image(repository, tag string) (manifest []byte, d digest.Digest) {
	var layers []string
	for i := range layersEach {
		layers = append(layers, fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, ocispec.MediaTypeImageLayerGzip, i+1, digest.FromString(fmt.Sprint(repository, tag, i))))
	}
	manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":7,"digest":%q},"layers":[%s]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, digest.FromString(repository+tag), strings.Join(layers, ","))
	return manifest, digest.FromBytes(manifest)
}

func version(i int) string { return fmt.Sprint("1.0.", i) }

func newLibrary(t *testing.T) *library {
	l := &library{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := strings.TrimPrefix(req.URL.Path, "/v2/")
		repository, reference, isManifest := strings.Cut(path, "/manifests/")
		switch {
		case path == "":
		case strings.HasSuffix(path, "/tags/list"):
			var all []string
			for i := range versionsEach {
				all = append(all, fmt.Sprintf("%q", version(i)))
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"name":%q,"tags":[%s]}`, strings.TrimSuffix(path, "/tags/list"), strings.Join(all, ","))
		case isManifest && (req.Method == http.MethodGet || req.Method == http.MethodHead):
			tag, known := l.tags.Load(repository + "@" + reference)
			if strings.HasPrefix(reference, "1.0.") {
				tag, known = reference, true
			}
			if known {
				body, d := image(repository, tag.(string))
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Docker-Content-Digest", d.String())
				_, _ = w.Write(body)
				return
			}
			fallthrough
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// A purge of a large store must stay within its memory limit.
// docs/tasks/purge.md has the measured values, for each 10,000 image manifests.
func TestPurgeOfALargeStore(t *testing.T) {
	images := 5_000
	if long {
		images = 100_000
	}
	n := newTenant(t)
	lib := newLibrary(t)
	store := n.store("acme", "acme")
	store.Spec.Registry.URL = lib.URL + "/acme"
	store.Spec.Capacity = resource.NewQuantity(1<<50, resource.BinarySI) // so that the purge measures the whole store
	n.create(store)
	apimeta.SetStatusCondition(&store.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, ObservedGeneration: store.Generation})
	n.Expect(shared.Client.Status().Update(t.Context(), store)).To(gomega.Succeed())
	n.addTombstone(store)

	begun := time.Now()
	used := purge(context.WithoutCancel(t.Context()), t, n.ns, "acme", "--kubeconfig", n.purger(n.listing(lib, images/imagesEach).URL))
	n.Expect(shared.Client.Get(t.Context(), key(store), store)).To(gomega.Succeed())
	last := store.Status.LastPurge
	if last == nil || store.Status.Usage == nil || store.Status.Usage.UsedBytes == 0 {
		t.Fatalf("the purge has not measured the store: %+v", store.Status)
	}
	t.Logf("a purge of a store of %d image manifests of %d layers took %s and at most %d MiB: %+v", images, layersEach, time.Since(begun).Round(time.Second), used>>20, *last)
}

// uploaded returns a manifest with all its images in its status.
func (n *tenant) uploaded(lib *library, name string) *v1alpha1.ArtifactManifest {
	m := n.manifest(name)
	m.UID, m.Generation, m.ResourceVersion, m.Finalizers = types.UID(name), 1, "1", []string{v1alpha1.Finalizer}
	m.APIVersion, m.Kind = v1alpha1.GroupVersion.String(), v1alpha1.KindArtifactManifest
	for a := range artifactsEach {
		for v := range versionsEach {
			one := v1alpha1.ManifestArtifact{ArtifactName: fmt.Sprint("a", a), ArtifactType: "OCIArtifact", ArtifactVersion: version(v)}
			repository := "acme/" + name + "/" + one.ArtifactName
			body, d := image(repository, one.ArtifactVersion)
			lib.tags.Store(repository+"@"+d.String(), one.ArtifactVersion)
			m.Spec.Artifacts = append(m.Spec.Artifacts, one)
			m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
				ArtifactName: one.ArtifactName, ArtifactVersion: one.ArtifactVersion, Repository: repository, State: v1alpha1.ArtifactPresent,
				Digest: d.String(), MediaType: ocispec.MediaTypeImageManifest, ConfigMediaType: ocispec.MediaTypeImageConfig, Size: int64(len(body)),
			})
		}
	}
	return m
}

// listing is an API server that adds so many manifests to the lists of the real one. Storing them there would take minutes.
func (n *tenant) listing(lib *library, manifests int) *httptest.Server {
	n.t.Helper()
	api, err := url.Parse(shared.Admin.Host)
	n.Expect(err).NotTo(gomega.HaveOccurred())
	transport, err := rest.TransportFor(shared.Admin)
	n.Expect(err).NotTo(gomega.HaveOccurred())
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(api) }, Transport: transport}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/"+n.ns+"/artifactmanifests") {
			proxy.ServeHTTP(w, req)
			return
		}
		const page = 20
		from, _ := strconv.Atoi(req.URL.Query().Get("continue"))
		list := v1alpha1.ArtifactManifestList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ArtifactManifestList"}}
		if strings.Contains(req.Header.Get("Accept"), "PartialObjectMetadataList") { // the versions of the same objects
			list.TypeMeta = metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}
		}
		for i := from; i < min(from+page, manifests); i++ {
			m := n.uploaded(lib, fmt.Sprint("m", i))
			m.UID, m.ResourceVersion = types.UID(m.Name), "1"
			list.Items = append(list.Items, *m)
		}
		if from+page < manifests {
			list.Continue = strconv.Itoa(from + page)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
	}))
	n.t.Cleanup(server.Close)
	return server
}

// addTombstone creates a tombstone of artifacts that were released long ago and no longer exist in the registry.
func (n *tenant) addTombstone(store *v1alpha1.ArtifactStore) {
	n.t.Helper()
	kube := shared.As("system:serviceaccount:" + n.ns + ":acme-purge")
	kube.Impersonate.Groups = []string{"system:masters"}
	api, err := client.New(kube, client.Options{Scheme: shared.Client.Scheme()})
	n.Expect(err).NotTo(gomega.HaveOccurred())
	t := &v1alpha1.Tombstone{ObjectMeta: n.meta("released")}
	t.Spec.RegistryURL, t.Spec.Cause = store.Spec.Registry.URL, v1alpha1.CauseReleased
	t.Spec.Manifest = v1alpha1.TombstoneManifest{Name: "released", UID: types.UID("released")}
	t.Spec.Manifest.Spec.ArtifactStoreRef.Name = store.Name
	long := metav1.NewTime(time.Now().Add(-48 * time.Hour))
	var status []v1alpha1.TombstoneArtifactStatus
	for i := range 20 {
		repository := "acme/released/a"
		_, d := image(repository, fmt.Sprint("gone", i))
		t.Spec.Artifacts = append(t.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: repository, Tag: version(i), Digests: []string{d.String()}})
		status = append(status, v1alpha1.TombstoneArtifactStatus{Repository: repository, Tag: version(i), UntaggedAt: &long, State: v1alpha1.TombstoneUntagged})
	}
	n.Expect(api.Create(n.t.Context(), t)).To(gomega.Succeed())
	t.Status.Artifacts = status
	t.Summarise()
	n.Expect(api.Status().Update(n.t.Context(), t)).To(gomega.Succeed())
}

// purger writes a kubeconfig with which a program acts as the store's
// purge account, with every right, at an API server, and returns its path.
func (n *tenant) purger(api string) string {
	n.t.Helper()
	config, err := clientcmd.LoadFromFile(shared.Kubeconfig())
	n.Expect(err).NotTo(gomega.HaveOccurred())
	for _, user := range config.AuthInfos {
		user.Impersonate, user.ImpersonateGroups = "system:serviceaccount:"+n.ns+":acme-purge", []string{"system:masters"}
	}
	for _, cluster := range config.Clusters {
		cluster.Server, cluster.CertificateAuthorityData = api, nil
	}
	file := filepath.Join(n.t.TempDir(), "kubeconfig")
	n.Expect(clientcmd.WriteToFile(*config, file)).To(gomega.Succeed())
	return file
}

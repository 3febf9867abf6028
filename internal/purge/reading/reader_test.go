package reading

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
)

// shelf is a registry that can only be read, and that fails on demand.
type shelf struct {
	Registry  // the methods that no test here calls
	tags      map[string]string
	manifests map[string]registry.Manifest
	vanished  string // a tag that is deleted after it was listed
	tagsErr   error
	brokenTag string
	broken    string // a manifest that cannot be read
	reads     map[digest.Digest]int
}

func (s *shelf) Tags(context.Context, string) ([]string, error) {
	var tags []string
	for tag := range s.tags {
		tags = append(tags, tag)
	}
	if s.vanished != "" {
		tags = append(tags, s.vanished)
	}
	return tags, s.tagsErr
}

func (s *shelf) Resolve(_ context.Context, _, tag string) (ocispec.Descriptor, error) {
	switch tag {
	case s.brokenTag:
		return ocispec.Descriptor{}, registry.ErrUnavailable
	case s.vanished:
		return ocispec.Descriptor{}, registry.ErrNotFound
	}
	return ocispec.Descriptor{Digest: d(s.tags[tag])}, nil
}

func (s *shelf) Tagged(ctx context.Context, repository, tag string) (registry.Manifest, error) {
	desc, err := s.Resolve(ctx, repository, tag)
	if err != nil {
		return registry.Manifest{}, err
	}
	m, err := s.Manifest(ctx, repository, desc.Digest)
	m.Descriptor = desc
	return m, err
}

func (s *shelf) Manifest(_ context.Context, _ string, x digest.Digest) (registry.Manifest, error) {
	if s.broken != "" && x == d(s.broken) {
		return registry.Manifest{}, registry.ErrUnreadable
	}
	for name, m := range s.manifests {
		if d(name) == x {
			s.reads[x]++
			return m, nil
		}
	}
	return registry.Manifest{}, registry.ErrNotFound
}

func index(children ...string) registry.Manifest {
	var m registry.Manifest
	for _, c := range children {
		m.Children = append(m.Children, ocispec.Descriptor{Digest: d(c)})
	}
	return m
}

func about(subject string) registry.Manifest {
	return registry.Manifest{Subject: &ocispec.Descriptor{Digest: d(subject)}}
}

func TestRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		shelf   shelf
		starts  []string
		want    map[string][]string // the parts of each digest
		missing []string
		err     error
	}{
		"FromTags": {
			reason: "every tag is followed down to the last child",
			shelf:  shelf{tags: map[string]string{"v1": "index"}, manifests: map[string]registry.Manifest{"index": index("inner"), "inner": index("amd64"), "amd64": {}}},
			want:   map[string][]string{"index": {"inner", "amd64"}},
		},
		"FromUntagged": {
			reason: "an untagged index that a tombstone names has children",
			shelf:  shelf{manifests: map[string]registry.Manifest{"index": index("amd64"), "amd64": {}}},
			starts: []string{"index"},
			want:   map[string][]string{"index": {"amd64"}},
		},
		"SubjectsAreFollowed": {
			reason: "what a tagged SBOM is about keeps its own children",
			shelf:  shelf{tags: map[string]string{"sbom": "b"}, manifests: map[string]registry.Manifest{"b": about("index"), "index": index("amd64"), "amd64": {}}},
			want:   map[string][]string{"index": {"b", "amd64"}},
		},
		"SatelliteTagsAreFollowed": {
			reason: "so is what a cosign tag is about",
			shelf:  shelf{tags: map[string]string{"sha256-" + d("index").Encoded() + ".sig": "b"}, manifests: map[string]registry.Manifest{"b": {}, "index": index("amd64"), "amd64": {}}},
			want:   map[string][]string{"index": {"b", "amd64"}},
		},
		"SparseIndex": {
			reason:  "a child that was never pushed is not an error",
			shelf:   shelf{tags: map[string]string{"v1": "index"}, manifests: map[string]registry.Manifest{"index": index("amd64", "arm64"), "amd64": {}}},
			want:    map[string][]string{"index": {"amd64", "arm64"}},
			missing: []string{"arm64"},
		},
		"VanishedTag": {
			reason: "a tag that goes between list and look is gone",
			shelf:  shelf{tags: map[string]string{"v1": "a"}, manifests: map[string]registry.Manifest{"a": {}}, vanished: "v2"},
		},
		"UnknownRepository": {
			reason:  "there is nothing",
			shelf:   shelf{tagsErr: registry.ErrNotFound},
			starts:  []string{"a"},
			missing: []string{"a"},
		},
		"I2TagsFail":    {reason: "a page failed", shelf: shelf{tagsErr: registry.ErrUnavailable}, err: registry.ErrUnavailable},
		"I2TagFails":    {reason: "a tag cannot be looked at", shelf: shelf{tags: map[string]string{"v1": "a", "v2": "b"}, brokenTag: "v2"}, err: registry.ErrUnavailable},
		"I2ChildFails":  {reason: "a child cannot be read", shelf: shelf{tags: map[string]string{"v1": "index"}, manifests: map[string]registry.Manifest{"index": index("amd64")}, broken: "amd64"}, err: registry.ErrUnreadable},
		"I2DeniedChild": {reason: "the first error counts", shelf: shelf{tagsErr: registry.ErrDenied}, err: registry.ErrDenied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.shelf.reads = map[digest.Digest]int{}
			r := NewReader(&tc.shelf, clock.RealClock{}, 1).Read(t.Context(), repo, ds(tc.starts...))
			if !errors.Is(r.Err, tc.err) {
				t.Fatalf("%s: the error is %v, want %v", tc.reason, r.Err, tc.err)
			}
			for name, parts := range tc.want {
				got := map[digest.Digest]bool{}
				for _, p := range r.Graph.Parts(d(name))[1:] {
					got[p] = true
				}
				want := map[digest.Digest]bool{}
				for _, p := range parts {
					want[d(p)] = true
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s\nparts of %s: -want +got\n%s", tc.reason, name, diff)
				}
			}
			for _, name := range tc.missing {
				if !r.Missing[d(name)] {
					t.Errorf("%s: %s is not noted as missing", tc.reason, name)
				}
			}
			if len(r.Missing) != len(tc.missing) {
				t.Errorf("%s: %d digests are missing, want %d", tc.reason, len(r.Missing), len(tc.missing))
			}
		})
	}
}

func (s *shelf) List(context.Context, string) ([]registry.Listed, error) {
	return nil, registry.ErrUnsupported
}

func TestReadRemembersWhatIsThereOnly(t *testing.T) {
	t.Parallel()
	s := &shelf{manifests: map[string]registry.Manifest{"index": index("amd64")}, reads: map[digest.Digest]int{}}
	r := NewReader(s, clock.RealClock{}, 1)
	first := r.Read(t.Context(), repo, ds("index"))
	s.manifests["amd64"] = index("arm64") // pushed since
	second := r.Read(t.Context(), repo, ds("index"))
	if !first.Missing[d("amd64")] || second.Missing[d("amd64")] || !second.Missing[d("arm64")] {
		t.Error("I2: that a child was missing has been remembered")
	}
	if s.reads[d("index")] != 1 {
		t.Errorf("an index was read %d times, want once: it cannot change", s.reads[d("index")])
	}
	r.Forget(repo)
	r.Read(t.Context(), repo, ds("index"))
	if s.reads[d("index")] != 2 {
		t.Error("a repository that is done with is still remembered")
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := NewReader(&shelf{}, clock.RealClock{}, 1)
	r.slots <- struct{}{} // all slots are taken
	if got := r.Read(ctx, repo, nil); !errors.Is(got.Err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", got.Err)
	}
}

func TestUnseen(t *testing.T) {
	t.Parallel()
	seen := map[digest.Digest]bool{d("a"): true}
	if diff := cmp.Diff(ds("b", "c"), unseen(seen, ds("a", "b", "c", "b"))); diff != "" {
		t.Errorf("unseen: -want +got\n%s", diff)
	}
}

func TestNode(t *testing.T) {
	t.Parallel()
	m := index("amd64")
	m.Subject = &ocispec.Descriptor{Digest: d("x")}
	want := graph.Node{Digest: d("index"), Children: ds("amd64"), Subject: d("x")}
	got, err := NewReader(nil, clock.RealClock{}, 1).remember(repo, d("index"), m)
	if diff := cmp.Diff(want, got.Node); diff != "" || err != nil {
		t.Errorf("node: %v, -want +got\n%s", err, diff)
	}
}

// A layer that no registry stores frees nothing when it is deleted, whatever
// size its manifest claims. The test finds a reader that counts it.
func TestWhatLiesElsewhereTakesNoRoom(t *testing.T) {
	t.Parallel()
	own, foreign := digest.FromString("own"), digest.FromString("foreign")
	m := registry.Manifest{Blobs: []ocispec.Descriptor{
		{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: foreign, Size: 1 << 62}, {MediaType: ocispec.MediaTypeImageLayerGzip, Digest: own, Size: 7},
	}}
	stored, err := NewReader(nil, clock.RealClock{}, 1).remember("r", digest.FromString("m"), m)
	if want := []Blob{{ContentOf(own), 7}}; err != nil || !slices.Equal(stored.Blobs, want) {
		t.Errorf("%v, %v; want %v", stored.Blobs, err, want)
	}
}

func TestPartsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	r := NewReader(nil, clock.RealClock{}, 1)
	m := registry.Manifest{Blobs: make([]ocispec.Descriptor, 2)}
	r.parts = MaxParts - 2
	if _, err := r.remember(repo, d("a"), m); err != nil {
		t.Errorf("what fits is refused: %v", err)
	}
	if _, err := r.remember(repo, d("b"), m); !errors.Is(err, registry.ErrUnreadable) {
		t.Errorf("%v, want ErrUnreadable, so that the repository is kept", err)
	}
	without := r.Without(repo, []digest.Digest{d("other")})
	if want := r.known[repo][d("a")].parts(); without.parts != want {
		t.Errorf("a Reader of the same manifests counts %d parts, want %d", without.parts, want)
	}
	if without.Forget(repo); without.parts != 0 {
		t.Errorf("%d parts are counted of a repository that it has forgotten", without.parts)
	}
	if without = r.Without(repo, []digest.Digest{d("a")}); without.parts != 0 {
		t.Errorf("%d parts are counted of a manifest that it does not know", without.parts)
	}
	if r.Forget(repo); r.parts != MaxParts-2 {
		t.Errorf("%d parts are counted of a forgotten repository", r.parts-(MaxParts-2))
	}
}

func TestBytesInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	r := NewReader(nil, clock.RealClock{}, 1)
	for _, m := range []registry.Manifest{{Bytes: make([]byte, MaxHeld)}, {Bytes: []byte("x")}} {
		if _, err := r.remember(repo, d(string(m.Bytes[:1])), m); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.bytes) != 1 || r.held != MaxHeld {
		t.Errorf("%d manifests of %d bytes are kept", len(r.bytes), r.held)
	}
	r.Forget(repo)
	if len(r.bytes) != 0 || r.held != 0 {
		t.Errorf("after forgetting %d manifests of %d bytes are kept", len(r.bytes), r.held)
	}
}

package registrytest

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// A Trait is a property in which a registry differs from those that Conformance expects.
type Trait func(*suite)

// WithoutUntag is the trait of a registry that refuses to remove a tag, such as distribution 2.8.
func WithoutUntag() Trait { return func(s *suite) { s.keepsTags = true } }

// Conformance tests, through the client, everything that nfo needs from a registry. The registry must accept
// pushes over plain HTTP without login at the client's host, and must delete digests, and tags unless a
// trait says otherwise. The repositories below the client's prefix that the test uses must not exist yet.
func Conformance(t *testing.T, c *registry.Client, traits ...Trait) {
	s := suite{c: c, host: c.Location().Host, prefix: c.Location().Prefix}
	for _, trait := range traits {
		trait(&s)
	}
	t.Run("it answers", func(t *testing.T) { must(t, c.Ping(t.Context())) })
	t.Run("a tag resolves to what was pushed", s.resolves)
	t.Run("a manifest is read with its children", s.readsIndex)
	t.Run("a referrer names its subject", s.readsSubject)
	t.Run("what is not there is not found", s.notFound)
	t.Run("I11 removing what is not there is success", s.missingMeansDone)
	if s.keepsTags {
		t.Run("I6 untagging is refused and changes nothing", s.refusesToUntag)
	} else {
		t.Run("I6 untagging leaves digest and sibling tags", s.untags)
		t.Run("I5 a tag comes back at its digest", s.putsBack)
	}
	t.Run("I6 the first release learns it", s.learns)
	t.Run("I5 a tag that is there is not overwritten", s.neverOverwrites)
	t.Run("I6 what was deleted comes back from its bytes", s.restores)
	t.Run("a digest is deleted with its tags", s.deletes)
	t.Run("tags are listed over pages", s.lists)
}

type suite struct {
	c            *registry.Client
	host, prefix string
	keepsTags    bool
}

func (s suite) repository(name string) string { return path.Join(s.prefix, "conformance", name) }

func (s suite) push(t *testing.T, repository, tag, seed string) ocispec.Descriptor {
	t.Helper()
	desc, err := PushImage(t.Context(), s.host, repository, tag, seed)
	must(t, err)
	return desc
}

// at fails the test if a tag is not at a digest; "" if the tag must not exist.
func (s suite) at(t *testing.T, repository, reference string, want digest.Digest) {
	t.Helper()
	desc, err := s.c.Resolve(t.Context(), repository, reference)
	if want == "" && errors.Is(err, registry.ErrNotFound) {
		return
	}
	must(t, err)
	if desc.Digest != want {
		t.Errorf("%s:%s is at %s, want %q", repository, reference, desc.Digest, want)
	}
}

func (s suite) resolves(t *testing.T) {
	repository := s.repository("resolve")
	want := s.push(t, repository, "1.0.0", "a")
	for _, reference := range []string{"1.0.0", want.Digest.String()} {
		got, err := s.c.Resolve(t.Context(), repository, reference)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Resolve(%s): -pushed +got\n%s", reference, diff)
		}
	}
	m, err := s.c.Tagged(t.Context(), repository, "1.0.0")
	must(t, err)
	if diff := cmp.Diff(want, m.Descriptor); diff != "" {
		t.Errorf("Tagged: -pushed +got\n%s", diff)
	}
}

func (s suite) readsIndex(t *testing.T) {
	repository := s.repository("index")
	desc, err := PushIndex(t.Context(), s.host, repository, "1.0.0", []string{"linux/amd64", "linux/arm64"}, "a")
	must(t, err)
	index, err := s.c.Manifest(t.Context(), repository, desc.Digest)
	must(t, err)
	if diff := cmp.Diff(desc, index.Descriptor); diff != "" || len(index.Children) != 2 {
		t.Fatalf("%d children, want 2; -pushed +got\n%s", len(index.Children), diff)
	}
	for _, child := range index.Children {
		m, err := s.c.Manifest(t.Context(), repository, child.Digest)
		must(t, err)
		if len(m.Blobs) != 2 || m.Subject != nil || len(m.Children) != 0 {
			t.Errorf("child %s has %d blobs, %d children, subject %v; want 2, 0, none", child.Digest, len(m.Blobs), len(m.Children), m.Subject)
		}
	}
}

func (s suite) readsSubject(t *testing.T) {
	repository := s.repository("subject")
	subject := s.push(t, repository, "1.0.0", "a")
	desc, err := PushReferrer(t.Context(), s.host, repository, subject, "application/vnd.example.signature", []byte("signed"))
	must(t, err)
	m, err := s.c.Manifest(t.Context(), repository, desc.Digest)
	must(t, err)
	if m.Subject == nil || m.Subject.Digest != subject.Digest {
		t.Errorf("subject is %v, want %s", m.Subject, subject.Digest)
	}
}

func (s suite) notFound(t *testing.T) {
	repository, ctx := s.repository("there"), t.Context()
	s.push(t, repository, "1.0.0", "a")
	none := digest.FromString("nothing")
	calls := map[string]func() error{
		"a tag":                     func() error { _, err := s.c.Resolve(ctx, repository, "2.0.0"); return err },
		"a digest":                  func() error { _, err := s.c.Resolve(ctx, repository, none.String()); return err },
		"a manifest":                func() error { _, err := s.c.Manifest(ctx, repository, none); return err },
		"a tag of a new repository": func() error { _, err := s.c.Resolve(ctx, s.repository("none"), "1.0.0"); return err },
		"the tags of a new one":     func() error { _, err := s.c.Tags(ctx, s.repository("none")); return err },
		"a digest to put back":      func() error { _, err := s.c.PutTag(ctx, repository, "2.0.0", none); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

func (s suite) missingMeansDone(t *testing.T) {
	repository := s.repository("missing")
	s.push(t, repository, "1.0.0", "a")
	for _, repo := range []string{repository, s.repository("none")} {
		if !s.keepsTags {
			must(t, s.c.Untag(t.Context(), repo, "2.0.0"))
		}
		if err := s.c.Delete(t.Context(), repo, digest.FromString("nothing")); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("deleting a digest that is not there: %v, want ErrNotFound", err)
		}
	}
}

func (s suite) untags(t *testing.T) {
	repository := s.repository("untag")
	desc := s.push(t, repository, "1.0.0", "a")
	s.push(t, repository, "stable", "a")
	must(t, s.c.Untag(t.Context(), repository, "1.0.0"))
	s.at(t, repository, "1.0.0", "")
	s.at(t, repository, "stable", desc.Digest)
	s.at(t, repository, desc.Digest.String(), desc.Digest)
	must(t, s.c.Untag(t.Context(), repository, "stable"))
	s.at(t, repository, desc.Digest.String(), desc.Digest)
}

func (s suite) refusesToUntag(t *testing.T) {
	repository := s.repository("untag")
	desc := s.push(t, repository, "1.0.0", "a")
	for _, tag := range []string{"1.0.0", "2.0.0"} {
		if err := s.c.Untag(t.Context(), repository, tag); !errors.Is(err, registry.ErrUnsupported) {
			t.Errorf("Untag(%s): %v, want ErrUnsupported", tag, err)
		}
	}
	s.at(t, repository, "1.0.0", desc.Digest)
}

func (s suite) learns(t *testing.T) {
	repository := s.repository("learn")
	desc := s.push(t, repository, "1.0.0", "a")
	s.push(t, repository, "stable", "a")
	other := s.push(t, repository, "2.0.0", "b")
	support, err := s.c.LearnUntag(t.Context(), repository, "1.0.0", desc.Digest)
	must(t, err)
	want, left := v1alpha1.Supported, digest.Digest("")
	if s.keepsTags {
		want, left = v1alpha1.Unsupported, desc.Digest
	}
	if support != want {
		t.Errorf("LearnUntag: %s, want %s", support, want)
	}
	s.at(t, repository, "1.0.0", left)
	s.at(t, repository, "stable", desc.Digest)
	s.at(t, repository, "2.0.0", other.Digest)
}

func (s suite) putsBack(t *testing.T) {
	repository := s.repository("restore")
	desc, err := PushIndex(t.Context(), s.host, repository, "1.0.0", []string{"linux/amd64"}, "a")
	must(t, err)
	must(t, s.c.Untag(t.Context(), repository, "1.0.0"))
	for range 2 { // the second time, the tag exists
		_, err := s.c.PutTag(t.Context(), repository, "1.0.0", desc.Digest)
		must(t, err)
		s.at(t, repository, "1.0.0", desc.Digest)
	}
}

func (s suite) neverOverwrites(t *testing.T) {
	repository := s.repository("taken")
	desc := s.push(t, repository, "1.0.0", "a")
	newer := s.push(t, repository, "1.0.0", "b")
	if _, err := s.c.PutTag(t.Context(), repository, "1.0.0", desc.Digest); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("PutTag: %v, want ErrTagTaken", err)
	}
	s.at(t, repository, "1.0.0", newer.Digest)
}

func (s suite) restores(t *testing.T) {
	repository := s.repository("again")
	desc, err := PushIndex(t.Context(), s.host, repository, "1.0.0", []string{"linux/amd64"}, "a")
	must(t, err)
	m, err := s.c.Manifest(t.Context(), repository, desc.Digest)
	must(t, err)
	must(t, s.c.Delete(t.Context(), repository, desc.Digest))
	s.at(t, repository, "1.0.0", "")
	for range 2 { // the second time, everything exists
		must(t, s.c.Restore(t.Context(), repository, m, []string{"1.0.0", "stable"}))
		s.at(t, repository, "1.0.0", desc.Digest)
		s.at(t, repository, "stable", desc.Digest)
		s.at(t, repository, desc.Digest.String(), desc.Digest)
	}
}

func (s suite) deletes(t *testing.T) {
	repository := s.repository("delete")
	desc := s.push(t, repository, "1.0.0", "a")
	other := s.push(t, repository, "2.0.0", "b")
	must(t, s.c.Delete(t.Context(), repository, desc.Digest))
	s.at(t, repository, "1.0.0", "")
	s.at(t, repository, desc.Digest.String(), "")
	s.at(t, repository, "2.0.0", other.Digest)
}

func (s suite) lists(t *testing.T) {
	repository := s.repository("tags")
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("1.0.%d", i))
		s.push(t, repository, want[i], "a")
	}
	slices.Sort(want)
	got, err := s.c.Tags(t.Context(), repository)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Tags: -want +got\n%s", diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

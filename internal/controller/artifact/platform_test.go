package artifact

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
)

// choose restarts the manager and the registry with the value mirror.platforms.
func (s *scene) choose(platforms platform.List) {
	s.t.Helper()
	v, err := volume.Open(s.dir, volume.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := serve.New(s.t.Context(), serve.Options{Volume: v, MirrorPlatforms: platforms})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.Close() })
	s.target.App, s.platforms = r.Handler(), platforms
	s.restart()
}

// The status counts the platforms that are copied. After platforms are added, the
// next pass must complete the copy; after platforms are removed, nothing may change.
func TestPlatformsThatAreChosenLater(t *testing.T) {
	t.Parallel()
	amd64 := platform.List{{OS: "linux", Architecture: "amd64"}}
	s := newScene(t)
	s.choose(amd64)
	want := s.push("later")
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	some := a.Status.Size
	s.choose(nil)
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
	all := a.Status.Size
	to, err := registry.Open(registry.Config{Location: s.target.Location("")})
	if err == nil {
		err = to.Verify(t.Context(), a.Status.Repository, "1", want)
	}
	if err != nil || some <= want.Size || all <= some {
		t.Errorf("of one platform there were %d bytes and of all %d: %v", some, all, err)
	}
	s.choose(amd64)
	if due := s.pass(a); due < time.Minute || a.Status.Size != all {
		t.Errorf("fewer platforms: %d bytes, looked at again in %s", a.Status.Size, due)
	}
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "has all")
}

// While the source does not answer, a copy that lacks a platform
// must not be deleted, and must be Present again with the old list.
func TestR5PlatformsThatCannotBeCopied(t *testing.T) {
	t.Parallel()
	amd64 := platform.List{{OS: "linux", Architecture: "amd64"}}
	s := newScene(t)
	s.choose(amd64)
	s.push("away")
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	s.source.Down()
	s.choose(nil)
	s.pass(a)
	s.want(a, v1alpha1.MirrorCorrupt, metav1.ConditionFalse, "missing or damaged")
	s.choose(amd64)
	s.pass(a)
	s.want(a, v1alpha1.MirrorPresent, metav1.ConditionTrue, "Nothing is removed")
}

func TestAnImageForNoneOfThePlatforms(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.choose(platform.List{{OS: "windows", Architecture: "amd64"}})
	s.push("none")
	a := s.artifact("ran", "upf:1")
	s.pass(a)
	s.want(a, v1alpha1.MirrorFailed, metav1.ConditionFalse, "it has linux/amd64, linux/arm64, and windows/amd64 is mirrored. An administrator adds one of its platforms to the chart's value mirror.platforms")
	s.event(v1alpha1.ReasonNoPlatform)
}

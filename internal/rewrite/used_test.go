package rewrite

import (
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/workload"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

// A store's reading does not know the settings of the mirror. It must find
// the store's images in rewritten pods, whatever the mirror's address is.
func TestI14AStoreFindsWhatWasRewritten(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://r.example/acme", "https://r.example:5000/acme", "https://registry-1.docker.io/acme"} {
		for _, address := range []string{"127.0.0.1:7439", "[::1]:7439", "10.96.0.50/" + v1alpha1.MirrorPrefix} {
			s := &v1alpha1.ArtifactStore{}
			s.Spec.Registry.URL, s.Spec.Workloads = url, &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods}}
			at, err := s.Location()
			if err != nil {
				t.Fatal(err)
			}
			i, err := Parse(at.Host + "/acme/upf:1")
			if err != nil {
				t.Fatal(err)
			}
			kube, through := workloadtest.Server{Objects: map[string][]string{"/api/v1/pods": {workloadtest.Pod("p", i.At(address))}}}.Start(t)
			r, err := workload.NewReader(kube, through, nil, clock.RealClock{}, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			reading, err := r.Read(t.Context(), s)
			if err != nil || reading.Unreadable() != nil {
				t.Fatal(err, reading.Unreadable())
			}
			if uses := reading.Of("acme/upf", "1"); len(uses) != 1 {
				t.Errorf("the store %s finds %d uses by %s", url, len(uses), i.At(address))
			}
		}
	}
}

func TestUsed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason, host, path, want string
	}{
		{"the original name", "r.example", "acme/upf", "r.example/acme/upf"},
		{"a port", "r.example:5000", "acme/upf", "r.example_5000/acme/upf"},
		{"another registry is not asked for", "other.example", "acme/upf", ""},
		{"the mirror's name, whatever is asked for", "127.0.0.1:7439", "other.example/acme/upf", "other.example/acme/upf"},
		{"with a port", "127.0.0.1:7439", "r.example_5000/acme/upf", "r.example_5000/acme/upf"},
		{"the registry's own address, from before the pull address was another one", "10.96.0.50", "mirror.nfo.dev/other.example/acme/upf", "other.example/acme/upf"},
		{"no image", "127.0.0.1:7439", "upf", ""},
	} {
		find := Used("127.0.0.1:7439", func(i Image) bool { return i.Host == "r.example" || i.Host == "r.example:5000" })
		if got, ok := find(tt.host, tt.path); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %s/%s is %q, %t", tt.reason, tt.host, tt.path, got, ok)
		}
	}
}

func TestFromPath(t *testing.T) {
	t.Parallel()
	for _, image := range []string{"docker.io/library/nginx:1", "r.example:5000/acme/upf@" + someDigest, "r.example/acme/upf:1@" + someDigest, "localhost/upf:latest"} {
		i, err := Parse(image)
		if err != nil {
			t.Fatal(err)
		}
		if back, ok := FromPath(i.Path(), i.Tag, i.Digest); !ok || back != i {
			t.Errorf("%s comes back as %s, %t", i, back, ok)
		}
	}
	for _, bad := range []string{"upf", "r.example/UPF", "/upf"} {
		if i, ok := FromPath(bad, "1", ""); ok {
			t.Errorf("%s is taken for %s", bad, i)
		}
	}
}

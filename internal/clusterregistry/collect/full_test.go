package collect

import (
	"fmt"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

// Hiding a file needs a folder. A volume without space for one must be collected in steps, each of which makes space
// for the next, beginning with the reserve. Requests for deletions that a step could not serve must stay.
func TestAVolumeThatIsFullIsCollectedInSteps(t *testing.T) {
	root := volumetest.Small(t, "size=16m,nr_inodes=4000")
	v, err := volume.Open(root, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := &tree{&volumetest.Tree{T: t, Volume: v}}
	kept := x.Files("a", "kept", x.Image("a", "t", "kept", ""))
	var unused []string
	var asked []digest.Digest
	for i := range 100 {
		asked = append(asked, x.Image("a", "", fmt.Sprint(i), ""))
		unused = append(unused, x.Files("a", fmt.Sprint(i), asked[i])...)
	}
	x.Age()
	for _, prepare := range []func() error{v.Probe, v.Reserve} { // like a registry
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
	}
	u, err := NewUnreferenced(v, quick)
	for i := 0; err == nil && i < len(asked); i++ {
		err = u.Delete("a", asked[i])
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; err == nil; i++ {
		err = os.WriteFile(fmt.Sprint(root, "/filler", i), nil, 0o600)
	}
	if !volume.Full(err) {
		t.Fatal(err)
	}
	steps := 0
	for err != nil {
		var r Report
		r, err = Run(t.Context(), v, quick)
		if err != nil && (!volume.Full(err) || r.Deleted == (Counts{})) {
			t.Fatalf("after %d steps: %v, %s", steps, err, r)
		}
		steps++
	}
	x.Must("", kept, unused)
	if steps < 2 {
		t.Errorf("it took %d steps: the volume was not full", steps)
	}
	if cycles, err := v.Cycles(); err != nil || len(cycles) > 0 {
		t.Errorf("what is left in the trash: %v, %v", cycles, err)
	}
}

package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds programs, such as nfo and kubectl-nfo, into a folder, as `make build` does. With
// race, the programs contain the race detector, which needs cgo: after a data race they report it
// on standard error and exit with code 66. The working directory must be in the product's module.
func Build(dir string, race bool, names ...string) error {
	args := []string{"build", fmt.Sprintf("-race=%t", race), "-o", dir + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, "github.com/nfo-operator/nfo/cmd/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if race {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %v: %w: %s", names, err, out)
	}
	return nil
}

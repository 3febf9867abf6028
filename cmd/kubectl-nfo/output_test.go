package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/terminal"
)

const (
	// What a terminal must not get: a screen that is cleared, a title, a line from right to left.
	hostileText = "a\x1b[2J\x1b]0;t\a\u202eb\u2066\u009b31m"
	hostileJSON = `a\u001b[2J\u001b]0;t\u0007\u202eb\u2066\u009b31m`
	controls    = "\x1b\a\r\u202e\u2066\u009b"
)

func TestFindingsCanBeShown(t *testing.T) {
	t.Parallel()
	in := strings.Replace(template, `"location": "eastus"`, `"location": "eastus", "`+hostileJSON+`\nNot mapped:": 1`, 1)
	_, out, errOut := execute(t, in, "import", "-f", "-", "--parameters", "name=UPF-1", "--registry", "MAIN=https://registry.example.com", "-o", "name")
	if strings.ContainsAny(out+errOut, controls) || !strings.Contains(errOut, "[2J") || strings.Contains(errOut, "\nNot mapped:") {
		t.Errorf("it says %q and %q, want the name of the member without what controls a terminal, on one line", out, errOut)
	}
}

func TestErrorsCanBeShown(t *testing.T) {
	t.Parallel()
	code, out, errOut := execute(t, "", "publish", "am/m", "./"+hostileText+".tgz")
	if code == 0 || strings.ContainsAny(out+errOut, controls) || !strings.Contains(errOut, "there is no file ./a?[2J") {
		t.Errorf("exit code %d; it says %q and %q, want an error without what controls a terminal", code, out, errOut)
	}
}

func TestAnswersCanBeShown(t *testing.T) {
	t.Parallel()
	a := &answer{
		Subject: "artifactmanifests/p/m", Verdict: hostileText + "\nKept by nothing", Incomplete: []string{hostileText},
		KeptBy:   []*link{{Object: "o", Because: hostileText + "\n└── fake"}},
		Released: []release{{Tag: hostileText, Says: hostileText + "\n"}},
	}
	var out bytes.Buffer
	if err := a.write(&out); err != nil || strings.ContainsAny(out.String(), controls) || strings.Contains(out.String(), "\n└── fake") || strings.Contains(out.String(), "\nKept by nothing") {
		t.Errorf("%v, %q, want what others wrote in the lines it is in, and without what controls a terminal", err, out.String())
	}
	out.Reset()
	if err := writeJSON(terminal.Text(&out), a); err != nil || strings.ContainsAny(out.String(), controls) {
		t.Errorf("%v, %q, want a document without what controls a terminal", err, out.String())
	}
	var got answer
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Verdict != a.Verdict {
		t.Errorf("%v: %q, want the verdict as it is: %q", err, got.Verdict, a.Verdict)
	}
}

func TestProgressCanBeShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out, false)
	p.start("upf:1", 1).restart(errors.New(hostileText))
	p.wait()
	if strings.ContainsAny(out.String(), controls) || !strings.Contains(out.String(), "trying again: a?[2J") {
		t.Errorf("it says %q, want the error without what controls a terminal", out.String())
	}
}

func TestRowsCanBeShown(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Spec.Artifacts = []v1alpha1.Artifact{{ArtifactName: "upf" + hostileText, ArtifactVersion: "1\nupf:2\tpushed"}}
	p, err := newPublication(&target{manifest: m}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.items[0].result = resultMissing
	var out bytes.Buffer
	if err := p.write(&out, "table"); err != nil || strings.ContainsAny(out.String(), controls) || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v, %q, want two lines without what controls a terminal", err, out.String())
	}
}

// Another program gets every byte of an object, a terminal what it can be shown.
func TestDataOut(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"yaml": "x\u202e", "json": `x\u202e`, "name": "x?", "": "x?"} {
		var out bytes.Buffer
		if _, err := dataOut(terminal.Text(&out), format).Write([]byte("x\u202e")); err != nil || out.String() != want {
			t.Errorf("-o %q: %q, %v, want %q", format, out.String(), err, want)
		}
	}
}

package aosm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
)

const hybrid = "/providers/Microsoft.HybridNetwork/publishers/"

// scoped returns an id in a subscription.
func scoped(rest string) string { return "/subscriptions/0000/resourceGroups/rg" + hybrid + rest }

// inTemplate returns a template of resources, after sections such as variables.
func inTemplate(sections string, resources ...string) string {
	return `{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", ` + sections +
		`"resources": [` + strings.Join(resources, ",\n") + `]}`
}

// resourceOf returns a resource of a template, of a type below publishers.
func resourceOf(typ, name, properties string) string {
	return fmt.Sprintf(`{"type": "Microsoft.HybridNetwork/publishers%s", "apiVersion": "2025-03-30", "name": %q, "properties": %s}`, typ, name, properties)
}

const (
	manifestType   = "/artifactStores/artifactManifests"
	definitionType = "/networkFunctionDefinitionGroups/networkFunctionDefinitionVersions"
	designType     = "/networkServiceDesignGroups/networkServiceDesignVersions"
)

// answerOf returns a resource as an answer has it.
func answerOf(id, properties string) string {
	return fmt.Sprintf(`{"id": %q, "properties": %s}`, id, properties)
}

// artifactsOf returns the properties of a manifest with artifacts, each given as name:version.
func artifactsOf(all ...string) string {
	var entries []string
	for _, a := range all {
		name, version, _ := strings.Cut(a, ":")
		entries = append(entries, fmt.Sprintf(`{"artifactName": %q, "artifactType": "OCIArtifact", "artifactVersion": %q}`, name, version))
	}
	return `{"artifacts": [` + strings.Join(entries, ", ") + `]}`
}

// chartOf returns the properties of a definition with one application, whose chart is in the store or manifest of an id.
func chartOf(id string) string {
	return fmt.Sprintf(`{"networkFunctionTemplate": {"networkFunctionApplications": [{"name": "app", "artifactType": "HelmPackage", "artifactProfile":
		{"artifactStore": {"id": %q}, "helmArtifactProfile": {"helmPackageName": "chart", "helmPackageVersionRange": "1.0.0"}}}]}}`, id)
}

// trial is one case of an import of files.
type trial struct {
	reason string
	files  []input.Source
	// input is the only file if files is empty.
	input   string
	options Options
	// has and lacks are texts that the objects and findings, written as in a golden file, must
	// or must not contain. lost is set if a finding must say that something is not mapped.
	has, lacks []string
	lost       bool
	// fails is a part of the expected error.
	fails string
}

// check runs the case and returns the written result.
func (o trial) check(t *testing.T) string {
	t.Helper()
	files := o.files
	if len(files) == 0 {
		files = []input.Source{{Data: []byte(o.input)}}
	}
	r, err := ImportAll(files, o.options)
	if o.fails != "" {
		if err == nil || !strings.Contains(err.Error(), o.fails) {
			t.Errorf("%s: error %v, want one that says %q", o.reason, err, o.fails)
		}
		return ""
	}
	if err != nil {
		t.Fatalf("%s: %v", o.reason, err)
	}
	checkValid(t, r.Objects)
	got := written(t, r)
	for _, part := range o.has {
		if !strings.Contains(got, part) {
			t.Errorf("%s: %q is missing in\n%s", o.reason, part, got)
		}
	}
	for _, part := range o.lacks {
		if strings.Contains(got, part) {
			t.Errorf("%s: there is %q in\n%s", o.reason, part, got)
		}
	}
	if lost := strings.Contains(got, "# "+string(finding.NotMapped)); lost != o.lost {
		t.Errorf("%s: something is not mapped: %t, want %t\n%s", o.reason, lost, o.lost, got)
	}
	return got
}

func checkAll(t *testing.T, cases map[string]trial) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/client-go/rest"
)

func TestConnectAs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "own")
	text = strings.Replace(text, "contexts:", "users: [{name: u, user: {as: jane, as-groups: [operators]}}], contexts:", 1)
	if err := os.WriteFile(own, []byte(strings.Replace(text, "cluster: c}", "cluster: c, user: u}", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason, file, as string
		want             rest.ImpersonationConfig
	}{
		"None":     {"the user of the file", file, "", rest.ImpersonationConfig{}},
		"Flag":     {"the user of the command line", file, "system:serviceaccount:publisher:acme-purge", rest.ImpersonationConfig{UserName: "system:serviceaccount:publisher:acme-purge"}},
		"File":     {"kubectl impersonates it, too", own, "", rest.ImpersonationConfig{UserName: "jane", Groups: []string{"operators"}}},
		"FlagOver": {"the groups are those of the other user", own, "joe", rest.ImpersonationConfig{UserName: "joe"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := clusterFlags{kubeconfig: tc.file, as: tc.as}
			kube, _, err := f.connect(0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, kube.Impersonate, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

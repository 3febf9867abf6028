package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestConnectAs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, as := range []string{"", "system:serviceaccount:publisher:acme-purge"} {
		f := clusterFlags{kubeconfig: file, as: as}
		kube, _, err := f.connect(0)
		if err != nil || kube.Impersonate.UserName != as {
			t.Errorf("as %q: %+v, %v", as, kube, err)
		}
	}
}

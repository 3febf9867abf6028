package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRegistryRefusesWrongFlags(t *testing.T) {
	for _, tt := range []struct {
		reason string
		args   []string
		want   string
	}{
		{"others reach it without a certificate", []string{"--bind-address", ":5000"}, "--cert-dir"},
		{"others reach it, and everybody may do everything", []string{"--bind-address", "0.0.0.0:5000", "--cert-dir", "x", "--open"}, "--open is for a loopback address"},
		{"others reach it, and nobody keeps a certificate", []string{"--bind-address", ":5000", "--secret-file", "x"}, "set --namespace in a cluster"},
		{"names for a certificate that somebody else makes", []string{"--certificate-names", "registry.example.com", "--cert-dir", "x", "--namespace", "operators"}, "--certificate-names"},
		{"names for a certificate that nobody makes", []string{"--certificate-names", "registry.example.com"}, "--certificate-names"},
		{"a certificate for agents that nobody keeps", []string{"--agents", "--cert-dir", "x"}, "--agents needs --namespace"},
		{"no address", []string{"--bind-address", "5000"}, "host:port"},
		{"a high-water mark of nothing", []string{"--high-water", "0"}, "--high-water"},
		{"a high-water mark above all", []string{"--high-water", "101"}, "--high-water"},
		{"a grace in which no push can end", []string{"--grace", "1s"}, "--grace"},
		{"too few requests", []string{"--requests", "3"}, "--requests"},
		{"a platform that no node has", []string{"--mirror-platforms", "linux/amd64,linux/x86_64"}, `invalid argument "linux/amd64,linux/x86_64" for "--mirror-platforms" flag: "linux/x86_64" is not a platform: write linux or windows`},
		{"platforms where nothing checks them", []string{"--storage-config", "x", "--mirror-platforms", "linux/amd64"}, "--mirror-platforms needs --root"},
		{"an argument", []string{"x"}, "unknown command"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			cmd := newRegistryCommand()
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			cmd.SetArgs(tt.args)
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadSecret(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	for content, good := range map[string]bool{"short": false, "                       ": false, "sixteen bytes ...\n": true} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readSecret(name); (err == nil) != good || got != strings.TrimSpace(got) {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	if _, err := readSecret(name + "x"); err == nil {
		t.Error("a file that is missing")
	}
}

func TestReadStorage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "storage.yaml")
	for _, tt := range []struct{ reason, content, driver, want string }{
		{"the section alone", "storage:\n  filesystem: {rootdirectory: /data}\n", "filesystem", ""},
		{"a whole file of distribution", "version: 0.1\nstorage: {inmemory: {}}\nhttp: {addr: \":5000\"}\n", "inmemory", ""},
		{"two drivers", "storage: {inmemory: {}, filesystem: {}}\n", "", "reading --storage-config"},
		{"none", "storage: {}\n", "", "reading --storage-config"},
		{"a secret in what cannot be read", "storage: [secret]\n", "", "is not the section storage"},
		{"not YAML", "\tsecret", "", "is not the section storage"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if err := os.WriteFile(name, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := readStorage(name)
			if tt.want == "" && (err != nil || s.Type() != tt.driver) {
				t.Errorf("%v, %v", s, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := readStorage(name + "x"); err == nil {
		t.Error("a file that is missing")
	}
}

func TestOpenVolume(t *testing.T) {
	v, err := openVolume(registryConfig{root: t.TempDir(), stale: time.Minute})
	if err != nil || v.Stale() != time.Minute {
		t.Error(v, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openVolume(registryConfig{root: file, stale: -1}); err == nil {
		t.Error("a file in place of the folder")
	}
}

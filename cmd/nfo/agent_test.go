package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestAgentRefusesWrongFlags(t *testing.T) {
	for _, tt := range []struct {
		reason string
		args   []string
		want   string
	}{
		{"no registry", nil, "--registry"},
		{"a registry without a port", []string{"--registry", "r.example"}, "host:port"},
		{"no port", []string{"--registry", "r.example:443", "--port", "0"}, "--port"},
		{"no such port", []string{"--registry", "r.example:443", "--port", "65536"}, "--port"},
		{"no time", []string{"--registry", "r.example:443", "--first-byte", "0"}, "--first-byte"},
		{"longer than a runtime waits", []string{"--registry", "r.example:443", "--first-byte", "1m"}, "--first-byte"},
		{"too few requests", []string{"--registry", "r.example:443", "--requests", "3"}, "--requests"},
		{"a way without an agent", []string{"--registry", "r.example:443", "--node-access", "NodePort"}, "Agent, ClusterIP or RuntimeMirror"},
		{"a mirror of nothing", []string{"--registry", "r.example:443", "--node-access", "RuntimeMirror"}, "--mirror-hosts"},
		{"hosts that nothing is written for", []string{"--registry", "r.example:443", "--mirror-hosts", "docker.io"}, "--mirror-hosts"},
		{"a Service without an address", []string{"--registry", "r.example:443", "--node-access", "ClusterIP"}, "--service-address"},
		{"a path for a host", []string{"--registry", "r.example:443", "--node-access", "RuntimeMirror", "--mirror-hosts", "../../etc"}, "--mirror-hosts has"},
		{"a folder above for a host", []string{"--registry", "r.example:443", "--node-access", "RuntimeMirror", "--mirror-hosts", ".."}, "--mirror-hosts has"},
		{"a path for the Service", []string{"--registry", "r.example:443", "--node-access", "ClusterIP", "--service-address", "10.96.0.50/x"}, "--service-address is"},
		{"a folder above for the Service", []string{"--registry", "r.example:443", "--node-access", "ClusterIP", "--service-address", ".."}, "--service-address is"},
		{"an argument", []string{"x"}, "unknown command"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			cmd := newAgentCommand()
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			cmd.SetArgs(tt.args)
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// If another process has the port, no file that leads to the port may be written on the node.
func TestAgentTakenPortWritesNothing(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	containerd := t.TempDir()
	cmd := newAgentCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs([]string{
		"--registry", "r.example:443", "--port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "--node-access", "RuntimeMirror", "--mirror-hosts", "docker.io",
		"--containerd-dir", containerd, "--containers-dir", "",
	})
	err = cmd.ExecuteContext(t.Context())
	var coded *exitError
	if !errors.As(err, &coded) || coded.code != 1 || !strings.Contains(err.Error(), "another process of this node has it") {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(containerd); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestAgentRemove(t *testing.T) {
	containerd := t.TempDir()
	ours := filepath.Join(containerd, "certs.d", "docker.io", "hosts.toml")
	if err := os.MkdirAll(filepath.Dir(ours), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ours, []byte("# Written by nfo agent, which overwrites and removes it.\nserver = \"https://registry-1.docker.io\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := newAgentCommand()
	cmd.SetArgs([]string{"--remove", "--containerd-dir", containerd, "--containers-dir", filepath.Join(containerd, "none")})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Dir(ours)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

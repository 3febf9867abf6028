package node

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	kubelet "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

// odd is a directory whose name breaks every file that does not quote it.
const odd = `/srv/my "tests": #1`

func render(t *testing.T, name string) string {
	t.Helper()
	n, err := Open(odd)
	if err != nil {
		t.Fatal(err)
	}
	text, err := n.render(name, Files{CA: odd + "/ca.crt", Certificate: odd + "/k.crt", Key: odd + "/k.key"})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Strict parsing refuses a setting that this version of the kubelet does not know.
func TestKubeletConfig(t *testing.T) {
	t.Parallel()
	var c kubelet.KubeletConfiguration
	if err := yaml.UnmarshalStrict([]byte(render(t, "kubelet.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.ContainerRuntimeEndpoint:         "unix://" + odd + "/node/containerd.sock",
		c.TLSCertFile:                      odd + "/k.crt",
		c.TLSPrivateKeyFile:                odd + "/k.key",
		c.Authentication.X509.ClientCAFile: odd + "/ca.crt",
		c.PodLogsDir:                       odd + "/node/pod-logs",
		c.StaticPodPath:                    odd + "/node/manifests",
		c.CgroupRoot:                       "/nfo-node",
		c.Address:                          Address,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNetworkConfig(t *testing.T) {
	t.Parallel()
	var c struct {
		Plugins []struct {
			Type string
			IPAM struct {
				DataDir string
				Ranges  [][]struct{ Subnet string }
			}
		}
	}
	if err := json.Unmarshal([]byte(render(t, "cni.conflist")), &c); err != nil {
		t.Fatal(err)
	}
	bridge := c.Plugins[0]
	if bridge.IPAM.DataDir != odd+"/node/cni" {
		t.Errorf("addresses are kept in %q, not in the node's folder", bridge.IPAM.DataDir)
	}
	if got := bridge.IPAM.Ranges[0][0].Subnet; got != Pods {
		t.Errorf("pods get addresses of %s, and the host has a route to %s", got, Pods)
	}
	for _, plugin := range c.Plugins {
		if !required(cniPlugins + "/" + plugin.Type) {
			t.Errorf("nobody checks that this machine has the plugin %s", plugin.Type)
		}
	}
}

func required(program string) bool {
	return slices.ContainsFunc(requirements, func(r requirement) bool { return slices.Contains(r.programs, program) })
}

// containerd's configuration is checked as text, because this module has no parser for it.
func TestRuntimeConfig(t *testing.T) {
	t.Parallel()
	text := render(t, "containerd.toml")
	for _, want := range []string{
		`root = "/srv/my \"tests\": #1/node/containerd/root"`,
		`state = "/srv/my \"tests\": #1/node/containerd/state"`,
		`address = "/srv/my \"tests\": #1/node/containerd.sock"`,
		`Root = "/srv/my \"tests\": #1/node/containerd/runc"`,
		`path = "/srv/my \"tests\": #1/node/containerd/opt"`,
		`conf_dir = "/srv/my \"tests\": #1/node/config/cni"`,
		`config_path = "/srv/my \"tests\": #1/node/etc/containerd/certs.d"`,
		`sandbox_image = "` + PauseImage + `"`,
		"netns_mounts_under_state_dir = true",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("containerd.toml lacks %s:\n%s", want, text)
		}
	}
}

package node

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
)

//go:embed config
var configs embed.FS

// configPaths are the paths of the configuration files in the node's folder, by template.
var configPaths = map[string]string{
	// containerd's default path, next to which certs.d has the configuration of registries.
	"containerd.toml": "etc/containerd/config.toml",
	"kubelet.yaml":    "config/kubelet.yaml",
	"resolv.conf":     "config/resolv.conf",
	"cni.conflist":    "config/cni/10-node.conflist",
}

// Files are the paths of the files with which the kubelet serves, all PEM.
type Files struct {
	CA, Certificate, Key string
}

// WriteConfig writes the configuration of containerd, its network plugins and the kubelet.
func (n *Node) WriteConfig(f Files) error {
	if err := os.MkdirAll(n.Path("manifests"), 0o700); err != nil { // the kubelet watches this folder for static pods
		return fmt.Errorf("making the folder of static pods: %w", err)
	}
	for name, path := range configPaths {
		text, err := n.render(name, f)
		if err != nil {
			return err
		}
		path = n.Path(path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("writing the node's configuration: %w", err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("writing the node's configuration: %w", err)
		}
	}
	return nil
}

func (n *Node) render(name string, f Files) ([]byte, error) {
	// TOML, YAML and JSON all accept a quoted Go string.
	path := func(name string) string { return strconv.Quote(n.Path(name)) }
	t, err := template.New(name).Funcs(template.FuncMap{"path": path}).ParseFS(configs, "config/"+name)
	if err != nil {
		return nil, fmt.Errorf("reading the template of %s: %w", name, err)
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]string{
		"Group": groupName, "Dir": n.dir, "Address": Address, "Pods": Pods, "PauseImage": PauseImage, "CNIPlugins": cniPlugins,
		"CA": f.CA, "Certificate": f.Certificate, "Key": f.Key,
	})
	if err != nil {
		return nil, fmt.Errorf("filling in the template of %s: %w", name, err)
	}
	return text.Bytes(), nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nfo-operator/nfo/test/cluster/lock"
	"github.com/nfo-operator/nfo/test/cluster/node"
)

// startRuntime starts containerd and imports the image that every pod needs.
func (p *controlPlane) startRuntime(ctx context.Context, c *credentials) error {
	if err := p.node.WriteConfig(c.node.serving); err != nil {
		return err
	}
	if err := p.launch("containerd", p.node.RuntimeArguments()); err != nil {
		return err
	}
	if err := p.node.Adopt(p.components[len(p.components)-1].process.Pid); err != nil {
		return err
	}
	archive := p.node.Path("pause.tar")
	if err := writePauseImage(archive, p.binaries["pause"]); err != nil {
		return err
	}
	if err := p.node.AwaitRuntime(ctx); err != nil {
		return err
	}
	return p.node.Import(ctx, archive)
}

// startNode starts the components of the node that need a ready API server.
func (p *controlPlane) startNode(c *credentials) error {
	if err := p.launch("kube-scheduler", schedulerArguments(c.node)); err != nil {
		return err
	}
	if err := p.launch("kubelet", kubeletArguments(p.node, c.node)); err != nil {
		return err
	}
	return p.launch("kube-proxy", proxyArguments(c.node))
}

// nodeReady parses a Node and returns an error unless the node is ready.
func nodeReady(body []byte) error {
	var object struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return fmt.Errorf("reading the node: %w", err)
	}
	for _, c := range object.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("the node is not ready: %+v", object.Status.Conditions)
}

// loadImages imports the images of all archives into the node of a running cluster.
func loadImages(ctx context.Context, o options, out io.Writer) error {
	n, err := node.Open(o.dir)
	if err != nil {
		return err
	}
	runner, err := lock.Holder(filepath.Join(o.dir, filePID))
	if err != nil {
		return err
	}
	if runner == 0 || !n.Exists() {
		return fmt.Errorf("no cluster with a node runs in %s: start one with 'cluster up --node --dir %s'", o.dir, o.dir)
	}
	for _, archive := range o.archives {
		started := time.Now()
		if err := n.Import(ctx, archive); err != nil {
			return err
		}
		fmt.Fprintf(out, "loaded %s in %.1fs\n", archive, time.Since(started).Seconds())
	}
	return nil
}

// printKubeconfig prints the kubeconfig of the cluster in the directory.
func printKubeconfig(o options, out io.Writer) error {
	text, err := os.ReadFile(filepath.Join(o.dir, fileKubeconfig))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no cluster is ready in %s: start one with 'cluster up --dir %s'", o.dir, o.dir)
	}
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	_, err = out.Write(text)
	return err
}

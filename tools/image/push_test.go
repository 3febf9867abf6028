package main

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestPush(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	dir := inputs(t)
	built := do(t, command(dir)...)
	printed := strings.TrimSpace(do(t, "push", dir+"/nfo.tar", host+"/tools/nfo:1.2"))

	_, digest, _ := strings.Cut(strings.TrimSpace(built), "@")
	if want := host + "/tools/nfo@" + digest; printed != want {
		t.Errorf("push printed %s, want %s", printed, want)
	}
	tag, err := name.NewTag(host + "/tools/nfo:1.2")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := index.Digest(); err != nil || got.String() != digest {
		t.Errorf("the tag is %v, %v; want %s", got, err, digest)
	}
	pushed, local := traits{}, traits{}
	if err := pushed.index(index); err != nil {
		t.Fatal(err)
	}
	if err := withIndex(dir+"/nfo.tar", func(top v1.ImageIndex) error { return local.index(top) }); err != nil {
		t.Fatal(err)
	}
	if got := differences(local, pushed); len(got) > 0 {
		t.Errorf("what can be pulled differs from what was pushed: %q", got)
	}
}

func TestPushRefuses(t *testing.T) {
	t.Parallel()
	dir := inputs(t)
	do(t, command(dir)...)
	for _, to := range []string{"nfo", "nfo:1.2", "registry.example.com/nfo", "registry.example.com/nfo@sha256:" + strings.Repeat("0", 64)} {
		err := push(t.Context(), dir+"/nfo.tar", to, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "registry/repository:tag") {
			t.Errorf("push to %s: got %v, want what a push needs", to, err)
		}
	}
}

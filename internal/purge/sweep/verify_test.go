package sweep

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

func TestHeldBytesAreBounded(t *testing.T) {
	t.Parallel()
	s := &sweeper{}
	one, other := &visit{sweeper: s, gone: map[digest.Digest]registry.Manifest{}}, &visit{sweeper: s, gone: map[digest.Digest]registry.Manifest{}}
	for range 2 { // a second attempt takes no more room
		one.keepBytes(d("a"), registry.Manifest{Bytes: make([]byte, reading.MaxHeld)})
	}
	if one.full() {
		t.Error("a full hand is not a reason to look already")
	}
	other.keepBytes(d("b"), registry.Manifest{Bytes: []byte("x")})
	if !one.full() || !other.full() {
		t.Error("all visits together hold more than there is room for, without a look")
	}
	if one.dropBytes(); one.full() || len(one.gone) != 0 || s.held != 1 {
		t.Errorf("after the look %d image manifests and %d bytes are held", len(one.gone), s.held)
	}
}

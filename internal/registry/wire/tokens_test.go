package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"oras.land/oras-go/v2/registry/remote/auth"
)

func TestTokensAreBounded(t *testing.T) {
	t.Parallel()
	c := newTokenCache()
	const host = "registry.example.com"
	token := strings.Repeat("x", 100<<10)
	key := func(i int) string { return fmt.Sprintf("repository:app%d:pull", i) }
	kept := func() (n int) {
		for i := range 50 {
			if _, err := c.GetToken(t.Context(), host, auth.SchemeBearer, key(i)); err == nil {
				n++
			}
		}
		return n
	}
	for i := range 50 {
		got, err := c.Set(t.Context(), host, auth.SchemeBearer, key(i), func(context.Context) (string, error) { return token, nil })
		if err != nil || got != token {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if n := kept(); n*len(token) > maxCachedTokens {
			t.Fatalf("%d tokens of %d bytes are kept", n, len(token))
		}
	}
	if _, err := c.GetScheme(t.Context(), host); err != nil || kept() == 0 {
		t.Errorf("%d tokens are kept, and the scheme: %v", kept(), err)
	}
}

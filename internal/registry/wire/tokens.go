package wire

import (
	"context"
	"sync"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// maxCachedTokens bounds, in bytes, the bearer tokens that one client caches. Each token is for
// one repository and usually has a few kilobytes, but a token server may answer with 128 KiB each.
const maxCachedTokens = 1 << 20

// tokenCache bounds the cache of oras-go, which has no bound. It drops all
// tokens when they have too many bytes together. It is safe for concurrent use.
type tokenCache struct {
	mu    sync.Mutex
	cache auth.Cache
	bytes int
}

func newTokenCache() *tokenCache { return &tokenCache{cache: auth.NewCache()} }

func (c *tokenCache) now() auth.Cache {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cache
}

// GetScheme returns the scheme of a registry.
func (c *tokenCache) GetScheme(ctx context.Context, registry string) (auth.Scheme, error) {
	return c.now().GetScheme(ctx, registry)
}

// GetToken returns a cached token.
func (c *tokenCache) GetToken(ctx context.Context, registry string, scheme auth.Scheme, key string) (string, error) {
	return c.now().GetToken(ctx, registry, scheme, key)
}

// Set fetches a token and caches it.
func (c *tokenCache) Set(ctx context.Context, registry string, scheme auth.Scheme, key string, fetch func(context.Context) (string, error)) (string, error) {
	token, err := c.now().Set(ctx, registry, scheme, key, fetch)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += len(key) + len(token); c.bytes > maxCachedTokens {
		c.cache, c.bytes = auth.NewCache(), 0
	}
	return token, err
}

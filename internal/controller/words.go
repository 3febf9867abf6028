package controller

import (
	"strings"
	"sync"
)

const (
	// maxWords is the most strings that are shared, and maxWord the longest of them,
	// in bytes. A longer string is kept with each object. When there are more, all
	// are dropped and sharing begins again; objects keep the strings that they have.
	maxWords = 16_384
	maxWord  = 256
)

// words are the strings that the objects of all caches share.
var words = &shared{all: map[string]string{}}

// shared keeps one copy of strings that many objects contain. The package unique does not
// fit: it drops a string with its last handle, and an API object has no field for a handle.
type shared struct {
	mu  sync.Mutex
	all map[string]string
}

// once returns the shared copy of a string.
func (s *shared) once(text string) string {
	if text == "" || len(text) > maxWord {
		return text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.all[text]; ok {
		return one
	}
	if len(s.all) >= maxWords {
		clear(s.all)
	}
	one := strings.Clone(text) // a copy, because text may be a part of a whole answer that would stay in memory
	s.all[one] = one
	return one
}

func share[T ~string](text *T) { *text = T(words.once(string(*text))) }

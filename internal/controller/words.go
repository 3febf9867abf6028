package controller

import (
	"strings"
	"sync"
)

const (
	// maxWords is how many words are kept once, and maxWord how long one is at most, in bytes. Longer ones are kept with each
	// object, and when there are more all begin anew: what objects have by then stays theirs.
	maxWords = 16_384
	maxWord  = 256
)

// words are those that the objects of all caches share.
var words = &shared{all: map[string]string{}}

// shared keeps words that many objects say once. The package unique does not serve for this: it forgets a word when its
// handle has gone, and an object of the API has no place for that.
type shared struct {
	mu  sync.Mutex
	all map[string]string
}

// once is an equal text, of which there is one.
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
	one := strings.Clone(text) // and not the whole answer that it is a part of
	s.all[one] = one
	return one
}

func share[T ~string](text *T) { *text = T(words.once(string(*text))) }

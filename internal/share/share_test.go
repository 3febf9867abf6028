package share

import "testing"

func TestAShareLastsAsLongAsItIsUsed(t *testing.T) {
	t.Parallel()
	made := 0
	s := New[string](func() *int { made++; return new(int) })
	first, firstDone := s.Take("a")
	second, secondDone := s.Take("a")
	other, otherDone := s.Take("b")
	if first != second || first == other || s.Len() != 2 {
		t.Errorf("two who use a key have %p and %p, another key has %p, of %d keys", first, second, other, s.Len())
	}
	firstDone()
	if third, done := s.Take("a"); third != second {
		t.Error("a share that is used was made anew")
	} else {
		done()
	}
	secondDone()
	otherDone()
	if s.Len() != 0 {
		t.Errorf("%d keys are remembered that nobody uses", s.Len())
	}
	if _, done := s.Take("a"); made != 3 {
		t.Errorf("%d shares were made, want 3", made)
	} else {
		done()
	}
}

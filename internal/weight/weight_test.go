package weight

import "testing"

func TestTheHeaviestIsTheOneThatHasMost(t *testing.T) {
	t.Parallel()
	var w Weights[string]
	if w.Heaviest() != "" || w.All() != 0 {
		t.Error("nothing has a weight")
	}
	w.Add("b", 3)
	w.Add("a", 2)
	w.Add("c", 3)
	if w.Heaviest() != "b" || w.All() != 8 || w.Of("a") != 2 {
		t.Errorf("the heaviest is %s of %d", w.Heaviest(), w.All())
	}
	w.Add("b", -3)
	if w.Heaviest() != "c" || len(w.of) != 2 {
		t.Errorf("the heaviest is %s, %v", w.Heaviest(), w.of)
	}
}

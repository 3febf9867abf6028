package aosm

import "errors"

func asString(s *scope, at *node, args []value) (value, error) {
	if w, err := args[0].word(); err == nil {
		return s.make(at, text, w)
	}
	w, err := args[0].rendered()
	if err != nil {
		return value{}, err
	}
	return s.make(at, text, w)
}

func asJSON(s *scope, at *node, args []value) (value, error) {
	w, err := args[0].word()
	if err != nil {
		return value{}, err
	}
	documents, err := parse([]byte(w))
	if err != nil || len(documents) != 1 {
		return value{}, errors.New("the argument of json() is not JSON")
	}
	documents[0].parent, documents[0].key, documents[0].index = at.parent, at.key, at.index
	return value{node: documents[0], scope: &scope{session: s.session}}, s.spend(1, len(w))
}

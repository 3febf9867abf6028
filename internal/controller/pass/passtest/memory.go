package passtest

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Remembered returns the maps in which a reconciler, or a part of it, has an entry under the UID
// of an object, such as "Reconciler.Polls.next". It searches only fields of nfo's own types.
func Remembered(uid types.UID, reconciler any) []string {
	f := finding{uid: reflect.ValueOf(uid), seen: map[uintptr]bool{}}
	f.in(reflect.ValueOf(reconciler), "Reconciler")
	return f.found
}

type finding struct {
	uid   reflect.Value
	seen  map[uintptr]bool
	found []string
}

func (f *finding) in(v reflect.Value, at string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !f.seen[v.Pointer()] {
			f.seen[v.Pointer()] = true
			f.in(v.Elem(), at)
		}
	case reflect.Map:
		if v.Type().Key() == f.uid.Type() && v.MapIndex(f.uid).IsValid() {
			f.found = append(f.found, at)
		}
	case reflect.Struct:
		if !strings.HasPrefix(v.Type().PkgPath(), "github.com/nfo-operator/nfo/") {
			return
		}
		for i := range v.NumField() {
			f.in(v.Field(i), at+"."+v.Type().Field(i).Name)
		}
	}
}

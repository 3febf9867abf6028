package wake

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// maxNext is how many wait to be queued. Others come again at a time of their own.
const maxNext = 256

// NewChannel makes a channel of those who are woken by name.
func NewChannel() chan event.GenericEvent { return make(chan event.GenericEvent, maxNext) }

// Next returns what wakes the object of a key, a client.ObjectKey, through a channel. It never waits.
func Next(through chan<- event.GenericEvent, blank func() client.Object) func(key any) {
	return func(key any) {
		name, ok := key.(client.ObjectKey)
		if !ok {
			return
		}
		o := blank()
		o.SetNamespace(name.Namespace)
		o.SetName(name.Name)
		select {
		case through <- event.GenericEvent{Object: o}:
		default:
		}
	}
}

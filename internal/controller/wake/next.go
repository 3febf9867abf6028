package wake

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// maxNext is the most keys that wait to be queued. Objects of further keys are requeued by time.
const maxNext = 256

// NewChannel makes a channel for objects that are woken by name.
func NewChannel() chan event.GenericEvent { return make(chan event.GenericEvent, maxNext) }

// Next returns a function that wakes the object with a key, a
// client.ObjectKey, through a channel. The function never blocks.
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

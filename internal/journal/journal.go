package journal

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// maxStores is the maximum number of stores with their own labels. Further stores are counted together, without a name.
const maxStores = 10_000

// Journal logs and counts actions.
type Journal struct {
	metrics metrics

	mu     sync.Mutex
	stores map[types.NamespacedName]bool
}

// New returns a Journal whose metrics are registered. All callers with the same Registerer share one Journal.
func New(to prometheus.Registerer) (*Journal, error) {
	j := &Journal{metrics: newMetrics(), stores: map[types.NamespacedName]bool{}}
	err := to.Register(j)
	var taken prometheus.AlreadyRegisteredError
	if errors.As(err, &taken) {
		if there, ok := taken.ExistingCollector.(*Journal); ok {
			return there, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("registering the metrics of what is done: %w", err)
	}
	return j, nil
}

// count adds one to a counter of a store. It holds the lock meanwhile: otherwise a store that Keep
// forgets at the same time could be counted afterwards, and that count would never be forgotten.
func (j *Journal) count(c *prometheus.CounterVec, store types.NamespacedName, others ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if store != (types.NamespacedName{}) && !j.stores[store] {
		if len(j.stores) >= maxStores {
			store = types.NamespacedName{}
		} else {
			j.stores[store] = true
		}
	}
	c.WithLabelValues(append([]string{store.Namespace, store.Name}, others...)...).Inc()
}

// Keep forgets the metrics of stores that are not in there, because they no longer exist.
func (j *Journal) Keep(there map[types.NamespacedName]bool) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.stores, func(store types.NamespacedName, _ bool) bool {
		if there[store] {
			return false
		}
		for _, c := range j.metrics.ofStores() {
			c.DeletePartialMatch(prometheus.Labels{labelNamespace: store.Namespace, labelStore: store.Name})
		}
		return true
	})
}

package journal

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// maxStores bounds the stores that have labels of their own. Others are counted without the name of a store.
const maxStores = 10_000

// Journal logs and counts.
type Journal struct {
	metrics metrics

	mu     sync.Mutex
	stores map[types.NamespacedName]bool
}

// New makes a Journal whose metrics are registered. All of a process that register at one place share one.
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

// count adds one to what is counted of a store. It does so under the lock: a store that Keep forgets at the same time would
// else be counted afterwards, and nothing would forget that.
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

// Keep forgets what was counted of stores that there are no more.
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

package controller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// storeList is a cache that holds these stores, or cannot be read.
type storeList struct {
	client.Reader
	stores []v1alpha1.ArtifactStore
	err    error
}

func (l storeList) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	into.(*v1alpha1.ArtifactStoreList).Items = l.stores
	return l.err
}

func TestStoreMetrics(t *testing.T) {
	t.Parallel()
	measured := v1alpha1.ArtifactStore{}
	measured.Namespace, measured.Name = "ns", "acme"
	success := metav1.Unix(1000, 0)
	measured.Status = v1alpha1.ArtifactStoreStatus{
		Usage:      &v1alpha1.StoreUsage{UsedBytes: 70, CapacityBytes: new(int64(100)), ReclaimableBytes: 20},
		Tombstones: new(int32(3)), DeletedTotal: 12, LastSuccessTime: &success,
		LastPurge: &v1alpha1.PurgeRun{CompletionTime: metav1.Unix(2000, 0), Outcome: v1alpha1.PurgeFailed},
	}
	fresh := v1alpha1.ArtifactStore{}
	fresh.Namespace, fresh.Name = "ns", "new"
	judged := func(name string, status metav1.ConditionStatus) v1alpha1.ArtifactStore {
		s := v1alpha1.ArtifactStore{}
		s.Namespace, s.Name = "ns", name
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionPurgeHealthy, Status: status}}
		return s
	}
	tests := map[string]struct {
		reason string
		cache  storeList
		want   string
	}{
		"Measured": {"all that is known of a store", storeList{stores: []v1alpha1.ArtifactStore{measured}}, `
# HELP nfo_purge_deleted_total Digests deleted by all purges of the store.
# TYPE nfo_purge_deleted_total counter
nfo_purge_deleted_total{namespace="ns",store="acme"} 12
# HELP nfo_purge_last_completion_timestamp_seconds Unix time, in seconds, at which the last purge ended.
# TYPE nfo_purge_last_completion_timestamp_seconds gauge
nfo_purge_last_completion_timestamp_seconds{namespace="ns",store="acme"} 2000
# HELP nfo_purge_last_outcome 1 for how the last purge ended.
# TYPE nfo_purge_last_outcome gauge
nfo_purge_last_outcome{namespace="ns",outcome="Failed",store="acme"} 1
# HELP nfo_purge_last_success_timestamp_seconds Unix time, in seconds, at which the last purge ended that succeeded or was not needed.
# TYPE nfo_purge_last_success_timestamp_seconds gauge
nfo_purge_last_success_timestamp_seconds{namespace="ns",store="acme"} 1000
# HELP nfo_store_capacity_bytes Bytes that 100 % meant when the store was last measured.
# TYPE nfo_store_capacity_bytes gauge
nfo_store_capacity_bytes{namespace="ns",store="acme"} 100
# HELP nfo_store_reclaimable_bytes Bytes that a purge could free when the store was last measured.
# TYPE nfo_store_reclaimable_bytes gauge
nfo_store_reclaimable_bytes{namespace="ns",store="acme"} 20
# HELP nfo_store_tombstones Tombstones of the store's location.
# TYPE nfo_store_tombstones gauge
nfo_store_tombstones{namespace="ns",store="acme"} 3
# HELP nfo_store_used_bytes Bytes used when the store was last measured.
# TYPE nfo_store_used_bytes gauge
nfo_store_used_bytes{namespace="ns",store="acme"} 70
`},
		"New": {"what was never measured is absent, not 0", storeList{stores: []v1alpha1.ArtifactStore{fresh}}, `
# HELP nfo_purge_deleted_total Digests deleted by all purges of the store.
# TYPE nfo_purge_deleted_total counter
nfo_purge_deleted_total{namespace="ns",store="new"} 0
`},
		"Health": {"whether purges run; not where none is to", storeList{stores: []v1alpha1.ArtifactStore{
			judged("bad", metav1.ConditionFalse), judged("off", metav1.ConditionUnknown), judged("well", metav1.ConditionTrue),
		}}, `
# HELP nfo_purge_deleted_total Digests deleted by all purges of the store.
# TYPE nfo_purge_deleted_total counter
nfo_purge_deleted_total{namespace="ns",store="bad"} 0
nfo_purge_deleted_total{namespace="ns",store="off"} 0
nfo_purge_deleted_total{namespace="ns",store="well"} 0
# HELP nfo_purge_healthy 1 while the condition PurgeHealthy of the store is True, 0 while it is False; absent while it is Unknown, such as for a suspended purge.
# TYPE nfo_purge_healthy gauge
nfo_purge_healthy{namespace="ns",store="bad"} 0
nfo_purge_healthy{namespace="ns",store="well"} 1
`},
		"Gone":       {"a store that has gone has no values", storeList{}, ""},
		"Unreadable": {"what cannot be listed spoils no other metric", storeList{err: errors.New("no cache")}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &storeMetrics{stores: tc.cache, ctx: t.Context()}
			if err := testutil.CollectAndCompare(c, strings.NewReader(tc.want)); err != nil {
				t.Errorf("%s: %v", tc.reason, err)
			}
			problems, err := testutil.CollectAndLint(c)
			if err != nil || len(problems) > 0 {
				t.Errorf("%s: the names are against the conventions: %v, %v", tc.reason, problems, err)
			}
		})
	}
}

// Several managers of one process, as in tests, must not stop one another.
func TestStoreMetricsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := v1alpha1.ArtifactStore{}
	s.Namespace, s.Name = "ns", "acme"
	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- (&storeMetrics{stores: storeList{stores: []v1alpha1.ArtifactStore{s}}, to: registry}).Start(ctx)
		}()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("a manager is stopped: %v", err)
			}
		}
	}
	count := func() int {
		n, err := testutil.GatherAndCount(registry)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := start()
	for deadline := time.After(10 * time.Second); count() == 0; {
		select {
		case <-deadline:
			t.Fatal("nothing is registered")
		case <-time.After(time.Millisecond):
		}
	}
	second := start()
	second()
	if n := count(); n != 1 {
		t.Errorf("the second manager leaves %d metrics of the first one's, want 1", n)
	}
	first()
	if n := count(); n != 0 {
		t.Errorf("%d metrics are left when the managers have ended", n)
	}
}

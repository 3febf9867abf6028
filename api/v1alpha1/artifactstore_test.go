package v1alpha1

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

func TestPurgeSpecSchedule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason         string
		spec           PurgeSpec
		schedule, zone string
	}{
		"Absent": {"an object that the API server has not filled in has the API's defaults", PurgeSpec{}, "0 0 * * *", "Etc/UTC"},
		"Empty":  {"an empty schedule is a choice: no CronJob", PurgeSpec{Schedule: new("")}, "", "Etc/UTC"},
		"Set":    {"what is set is used", PurgeSpec{Schedule: new("@hourly"), TimeZone: "Europe/Paris"}, "@hourly", "Europe/Paris"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.spec.CronSchedule(); got != tc.schedule {
				t.Errorf("%s: the schedule is %q, want %q", tc.reason, got, tc.schedule)
			}
			if got := tc.spec.CronTimeZone(); got != tc.zone {
				t.Errorf("%s: the time zone is %q, want %q", tc.reason, got, tc.zone)
			}
		})
	}
}

func TestUsageSource(t *testing.T) {
	t.Parallel()
	in := RegistrySpec{ClusterRegistry: &ClusterRegistrySpec{}}
	capacity := resource.NewQuantity(1, resource.BinarySI)
	tests := map[string]struct {
		reason string
		spec   ArtifactStoreSpec
		want   UsageSource
	}{
		"URL":      {"another registry does not report its disk", ArtifactStoreSpec{Registry: RegistrySpec{URL: "https://r.example.com"}}, UsageAccounted},
		"Cluster":  {"a threshold means the disk that runs full, and needs no other number", ArtifactStoreSpec{Registry: in}, UsageRegistry},
		"Capacity": {"a capacity is the store's own share, and not compared with what others use", ArtifactStoreSpec{Registry: in, Capacity: capacity}, UsageAccounted},
		"Set":      {"what is set counts", ArtifactStoreSpec{Registry: in, Purge: PurgeSpec{Usage: UsageAccounted}}, UsageAccounted},
		"Both":     {"also beside a capacity", ArtifactStoreSpec{Registry: in, Capacity: capacity, Purge: PurgeSpec{Usage: UsageRegistry}}, UsageRegistry},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (&ArtifactStore{Spec: tc.spec}).UsageSource(); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

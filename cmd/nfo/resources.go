package main

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// leastMemory is the smallest memory limit of a purge pod. With less, the program may
// not start at all, and a quantity such as 512m, which is half a byte, is a mistake.
var leastMemory = resource.MustParse("32Mi")

// resourceList is a flag with the resources that a container requests
// or is limited to, such as cpu=1,memory=512Mi; "" is an empty list.
type resourceList struct{ to *corev1.ResourceList }

// String returns the list in the order of the names.
func (l resourceList) String() string {
	if l.to == nil {
		return ""
	}
	var parts []string
	for name, quantity := range *l.to {
		parts = append(parts, string(name)+"="+quantity.String())
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// Type returns the name of the type in the help.
func (l resourceList) Type() string { return "resources" }

// Set replaces the list.
func (l resourceList) Set(text string) error {
	all := corev1.ResourceList{}
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		key, value, found := strings.Cut(part, "=")
		name := corev1.ResourceName(key)
		switch name {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		default:
			return fmt.Errorf("%q is not cpu, memory or ephemeral-storage; use a list such as cpu=1,memory=512Mi", key)
		}
		if _, twice := all[name]; twice {
			return fmt.Errorf("%s is given twice", name)
		}
		quantity, err := resource.ParseQuantity(value)
		if !found || err != nil {
			return fmt.Errorf("%q is not a quantity of %s; use one such as 500m or 512Mi", value, name)
		}
		if quantity.Sign() <= 0 {
			return fmt.Errorf("%s is %s and must be above 0", name, value)
		}
		all[name] = quantity
	}
	*l.to = all
	return nil
}

// byteCount is a flag with a number of bytes, such as 384Mi.
type byteCount struct{ to *int64 }

// String returns the shortest form of the number.
func (b byteCount) String() string {
	if b.to == nil {
		return ""
	}
	return resource.NewQuantity(*b.to, resource.BinarySI).String()
}

// Type returns the name of the type in the help.
func (b byteCount) Type() string { return "bytes" }

// Set replaces the number.
func (b byteCount) Set(text string) error {
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return fmt.Errorf("%q is not a number of bytes; use one such as 384Mi", text)
	}
	*b.to = quantity.Value()
	return nil
}

// checkResources refuses values that the API server would refuse
// in every purge CronJob, and a memory limit below leastMemory.
func checkResources(r corev1.ResourceRequirements) error {
	least := leastMemory.DeepCopy() // String may change its receiver
	if limit, set := r.Limits[corev1.ResourceMemory]; set && limit.Cmp(least) < 0 {
		return fmt.Errorf("--purger-limits has memory=%s and must have at least %s", limit.String(), least.String())
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		request, limit := r.Requests[name], r.Limits[name]
		if _, set := r.Limits[name]; set && request.Cmp(limit) > 0 {
			return fmt.Errorf("--purger-requests has %s=%s, which is more than the %s of --purger-limits", name, request.String(), limit.String())
		}
	}
	return nil
}

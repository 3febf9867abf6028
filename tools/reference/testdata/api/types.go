// Package api is what the test of the pages reads.
//
// +groupName=example.com
// +versionName=v1
package api

// Box holds things.
//
// +kubebuilder:object:root=true
type Box struct {
	// What it is.
	// +required
	Spec BoxSpec `json:"spec"`
}

// BoxSpec is what a box is.
//
// +kubebuilder:validation:XValidation:rule="has(self.lids)",message="a box has a lid"
type BoxSpec struct {
	// Its lids.
	// +optional
	Lids []*Lid `json:"lids,omitempty"`
}

// Lid closes a box.
type Lid struct {
	// Whether it is open.
	// +optional
	// +kubebuilder:default=Shut
	State LidState `json:"state,omitempty"`
}

// LidState is whether a lid is open.
//
// +kubebuilder:validation:Enum=Open;Shut
type LidState string

// States of a lid.
const (
	// Open: things can be put in.
	Open LidState = "Open"
	// Shut: they cannot.
	Shut LidState = "Shut"
)

// Bag is another kind.
//
// +kubebuilder:object:root=true
type Bag struct {
	// How large.
	// +required
	Size int32 `json:"size"`
}

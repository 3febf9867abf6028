package finding

import (
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Level says how much a finding matters.
type Level string

// The levels.
const (
	// NotMapped: something that matters here has no counterpart, or cannot be decided from the input.
	NotMapped Level = "NotMapped"
	// Note: something was mapped in a way to know of.
	Note Level = "Note"
	// Ignored: something means nothing here, such as a location.
	Ignored Level = "Ignored"
)

// Finding is one thing to know of an import.
type Finding struct {
	Level Level
	// Path is the JSON path in the input.
	Path string
	// Name is the name of the member that was ignored; "" for other levels.
	Name string
	// Reason says why, in one sentence without a full stop.
	Reason string
}

// String writes the finding on one line.
func (f Finding) String() string { return f.Path + ": " + f.Reason }

// Report is what there is to know of one import.
type Report struct {
	session  *template.Session
	Findings []Finding
	// Doubts is how many of them are of what cannot be known.
	Doubts int
}

// NewReport is the report of an import, none of whose expressions has made the input unusable yet.
func NewReport(s *template.Session) *Report { return &Report{session: s} }

// Add adds a finding that has no node in the input.
func (r *Report) Add(f Finding) { r.Findings = append(r.Findings, f) }

// Tell adds a finding of a node.
func (r *Report) Tell(level Level, at *document.Node, format string, args ...any) {
	r.tell(Finding{Level: level, Reason: fmt.Sprintf(format, args...)}, at)
}

// tell adds a finding about a node. Its text counts as part of what the input expands to, because there can be many places,
// deep in each other. It adds nothing once the input cannot be used.
func (r *Report) tell(f Finding, at *document.Node) {
	if r.session.Fatal != nil {
		return
	}
	f.Path = at.Path()
	if !r.session.Fail(r.session.Spend(1, len(f.Path)+len(f.Reason))) {
		r.Findings = append(r.Findings, f)
	}
}

// Ignore tells that a member means nothing here, and closes it.
func (r *Report) Ignore(at *document.Node, reason string) {
	at.Close()
	r.tell(Finding{Level: Ignored, Name: at.Key, Reason: reason}, at)
}

// Unmapped tells that a node has no counterpart as a whole.
func (r *Report) Unmapped(at *document.Node, format string, args ...any) {
	at.Close()
	r.Tell(NotMapped, at, format, args...)
}

// meaningless are members that mean nothing here, by folded name, and why.
var meaningless = map[string]string{
	"location": place, "extendedlocation": place, "managedresourcegroupconfiguration": place, "replicationstrategy": place,
	"backingresourcepublicnetworkaccess": place, "storageresourceid": place,
	"tags": "tags of Azure are no labels of the cluster", "systemdata": azure, "etag": azure, "resourcegroup": azure, "managedby": azure,
	"provisioningstate": azure, "identity": azure, "additionalproperties": azure, "sku": azure, "scope": azure, "idtype": azure,
	"createdtime": azure, "changedtime": azure, "kind": azure, "plan": azure, "zones": azure, "tenantid": azure, "subscriptionid": azure,
	"metadata": prose, "description": prose, "comments": prose, "contentversion": prose, "$schema": prose, "languageversion": prose, "apiprofile": prose,
	"dependson": "the order in which objects are applied follows from their kinds", "outputs": "outputs are a deployment's own",
	"definitions": "the types of parameters are a deployment's own", "deploymentname": azure,
	"deployparameters": Values, "deployparametersmappingruleprofile": Values, "parametervalues": Values, "templatetype": Values,
	"configurationgroupschemareferences": Values, "desiredstateconfigurationgroupvaluereferences": Values,
	"laststateconfigurationgroupvaluereferences": Values, "nfvisfromsite": Values, "nfvitype": Values, "networkfunctiontype": Values,
	"sitereference": "a place alone has no kind", "laststatenetworkservicedesignversionname": azure,
	"publishername": echo, "publisherscope": echo, "networkservicedesigngroupname": echo, "networkservicedesignversionname": echo,
	"networkservicedesignversionofferinglocation": echo,
}

// Why something means nothing here.
const (
	place  = "where Azure keeps it is nothing to a cluster"
	azure  = "it is Azure's own bookkeeping"
	prose  = "it is for readers of the file"
	Values = "values and settings of deployments have no place in the objects"
	echo   = "it repeats what an id says"
)

// Leftovers reports every node below one that nothing has dealt with.
func (r *Report) Leftovers(n *document.Node) {
	if n.State == document.Closed {
		return
	}
	n.Close() // once
	for _, m := range n.Items {
		if m.State != document.Unread {
			r.Leftovers(m)
			continue
		}
		m.Close()
		if m.Kind == document.Null {
			continue
		}
		reason, known := meaningless[arm.Fold(m.Key)]
		if known && n.Kind == document.Object {
			r.Ignore(m, reason)
			continue
		}
		r.Tell(NotMapped, m, "it has no counterpart")
	}
	for _, made := range r.session.MadeOf(n) {
		r.Leftovers(made)
	}
}

// Doubt tells that a node is left out since what it is cannot be known, rather than because it is known
// to have no counterpart.
func (r *Report) Doubt(at *document.Node, format string, args ...any) {
	r.Doubts++
	r.Unmapped(at, format, args...)
}

// Undecided tells that something cannot be known from the input, and closes what depends on it.
func (r *Report) Undecided(at *document.Node, what string, errs ...error) {
	for _, err := range errs {
		if err != nil && !r.session.Fail(err) {
			r.Doubt(at, "%s cannot be decided: %v", what, err)
		}
	}
}

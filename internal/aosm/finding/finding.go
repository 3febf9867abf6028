package finding

import (
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Level is how important a finding is.
type Level string

// The levels.
const (
	// NotMapped: a part that matters here has no counterpart, or cannot be decided from the input.
	NotMapped Level = "NotMapped"
	// Note: a part was mapped in a way that the user should know of.
	Note Level = "Note"
	// Ignored: a part has no meaning here, such as a location.
	Ignored Level = "Ignored"
)

// Finding is one remark on an import.
type Finding struct {
	Level Level
	// Path is the JSON path in the input.
	Path string
	// Name is the name of the ignored member; "" for other levels.
	Name string
	// Reason is one sentence without a full stop.
	Reason string
}

// String writes the finding on one line.
func (f Finding) String() string { return f.Path + ": " + f.Reason }

// Report has the findings of one import.
type Report struct {
	session  *template.Session
	Findings []Finding
	// Doubts is the number of findings about parts that cannot be decided.
	Doubts int
}

// NewReport returns an empty report for the import of a session.
func NewReport(s *template.Session) *Report { return &Report{session: s} }

// Add adds a finding that has no node in the input.
func (r *Report) Add(f Finding) { r.Findings = append(r.Findings, f) }

// Tell adds a finding about a node.
func (r *Report) Tell(level Level, at *document.Node, format string, args ...any) {
	r.tell(Finding{Level: level, Reason: fmt.Sprintf(format, args...)}, at)
}

// tell adds a finding about a node. Its text counts against the bound on what the input expands
// to: there can be many nodes, deeply nested. tell adds nothing once the input is unusable.
func (r *Report) tell(f Finding, at *document.Node) {
	if r.session.Fatal != nil {
		return
	}
	f.Path = at.Path()
	if !r.session.Fail(r.session.Spend(1, len(f.Path)+len(f.Reason))) {
		r.Findings = append(r.Findings, f)
	}
}

// Ignore reports that a member has no meaning here, and closes it.
func (r *Report) Ignore(at *document.Node, reason string) {
	at.Close()
	r.tell(Finding{Level: Ignored, Name: at.Key, Reason: reason}, at)
}

// Unmapped reports that a node as a whole is not mapped, and closes it.
func (r *Report) Unmapped(at *document.Node, format string, args ...any) {
	at.Close()
	r.Tell(NotMapped, at, format, args...)
}

// meaningless are the members without a meaning here, by folded name, with the reasons.
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

// The reasons why members have no meaning here.
const (
	place  = "where Azure keeps it is nothing to a cluster"
	azure  = "it is Azure's own bookkeeping"
	prose  = "it is for readers of the file"
	Values = "values and settings of deployments have no place in the objects"
	echo   = "it repeats what an id says"
)

// Leftovers reports every node below n that was not dealt with.
func (r *Report) Leftovers(n *document.Node) {
	if n.State == document.Closed {
		return
	}
	n.Close() // so that it is reported once
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

// Doubt reports that a node is left out because it cannot be decided, not because it has no counterpart.
func (r *Report) Doubt(at *document.Node, format string, args ...any) {
	r.Doubts++
	r.Unmapped(at, format, args...)
}

// Undecided reports for each error that a part cannot be decided, and closes the node.
func (r *Report) Undecided(at *document.Node, what string, errs ...error) {
	for _, err := range errs {
		if err != nil && !r.session.Fail(err) {
			r.Doubt(at, "%s cannot be decided: %v", what, err)
		}
	}
}

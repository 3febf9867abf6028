package aosm

import "fmt"

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

// report is what there is to know of one import.
type report struct {
	session  *session
	findings []Finding
	// doubts is how many of them are of what cannot be known.
	doubts int
}

// newReport is the report of an import, none of whose expressions has made the input unusable yet.
func newReport(s *session) *report { return &report{session: s} }

// add adds a finding that has no node in the input.
func (r *report) add(f Finding) { r.findings = append(r.findings, f) }

// tell adds a finding of a node.
func (r *report) tell(level Level, at *node, format string, args ...any) {
	r.findings = append(r.findings, Finding{Level: level, Path: at.path(), Reason: fmt.Sprintf(format, args...)})
}

// ignore tells that a member means nothing here, and closes it.
func (r *report) ignore(at *node, reason string) {
	at.close()
	r.findings = append(r.findings, Finding{Level: Ignored, Path: at.path(), Name: at.key, Reason: reason})
}

// unmapped tells that a node has no counterpart as a whole.
func (r *report) unmapped(at *node, format string, args ...any) {
	at.close()
	r.tell(NotMapped, at, format, args...)
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
	"deployparameters": values, "deployparametersmappingruleprofile": values, "parametervalues": values, "templatetype": values,
	"configurationgroupschemareferences": values, "desiredstateconfigurationgroupvaluereferences": values,
	"laststateconfigurationgroupvaluereferences": values, "nfvisfromsite": values, "nfvitype": values, "networkfunctiontype": values,
	"sitereference": "there is no kind for a place alone", "laststatenetworkservicedesignversionname": azure,
	"publishername": echo, "publisherscope": echo, "networkservicedesigngroupname": echo, "networkservicedesignversionname": echo,
	"networkservicedesignversionofferinglocation": echo,
}

// Why something means nothing here.
const (
	place  = "where Azure keeps it is nothing to a cluster"
	azure  = "it is Azure's own bookkeeping"
	prose  = "it is for readers of the file"
	values = "values and settings of deployments have no place in the objects"
	echo   = "it repeats what an id says"
)

// leftovers reports every node below one that nothing has dealt with.
func (r *report) leftovers(n *node) {
	if n.state == closed {
		return
	}
	n.close() // once
	for _, m := range n.items {
		if m.state != unread {
			r.leftovers(m)
			continue
		}
		m.close()
		if m.kind == null {
			continue
		}
		reason, known := meaningless[fold(m.key)]
		if known && n.kind == object {
			r.ignore(m, reason)
			continue
		}
		r.tell(NotMapped, m, "there is no counterpart to it")
	}
	for _, made := range r.session.madeOf(n) {
		r.leftovers(made)
	}
}

// doubt tells that a node is left out since what it is cannot be known, rather than because it is known
// to have no counterpart.
func (r *report) doubt(at *node, format string, args ...any) {
	r.doubts++
	r.unmapped(at, format, args...)
}

// undecided tells that something cannot be known from the input, and closes what depends on it.
func (r *report) undecided(at *node, what string, errs ...error) {
	for _, err := range errs {
		if err != nil && !r.session.fail(err) {
			r.doubt(at, "%s cannot be decided: %v", what, err)
		}
	}
}

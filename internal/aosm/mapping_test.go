package aosm

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// TestForbiddenNames checks that a text that AOSM's patterns forbid is not taken for a name, in an id or in a template.
func TestForbiddenNames(t *testing.T) {
	t.Parallel()
	chart := func(id string) string {
		return answerOf(scoped("p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0"), chartOf(id))
	}
	o := Options{APIVersion: manifestScopedVersion}
	cases := map[string]trial{
		"GoodSemVer":  {reason: "all that semantic versions have", input: answerOf(scoped("p/networkFunctionDefinitionGroups/G_1-x/networkFunctionDefinitionVersions/1.0.0-rc.1+b.2"), chartOf(hybrid+"p/artifactStores/s")), has: []string{"kind: NetworkFunctionDefinitionVersion"}},
		"GoodManifes": {reason: "a manifest may have any name without white space", options: o, input: answerOf(scoped("p/artifactStores/s/artifactManifests/Grüße.1-0~x"), artifactsOf("a:1")), has: []string{"kind: ArtifactManifest"}},
		"Flag":        {reason: "a store of a template's parameter that az left as it is", lost: true, input: chart(hybrid + "p/artifactStores/[parameters('store')]"), has: []string{"placeholder"}, lacks: []string{"artifactStoreRef"}},
		"NFDVFilled":  {reason: "a placeholder of AOSM", lost: true, input: chart(hybrid + "p/artifactStores/s/artifactManifests/{deployParameters.manifest}"), has: []string{"placeholder"}, lacks: []string{"artifactManifestRef"}},
		"Angle":       {reason: "a placeholder of documentation", lost: true, input: chart(hybrid + "p/artifactStores/s/artifactManifests/<manifest>"), has: []string{"AOSM allows no white space"}, lacks: []string{"artifactManifestRef"}},
		"Scope":       {reason: "a placeholder in the scope", lost: true, input: chart("/subscriptions/{subscriptionId}/resourceGroups/rg" + hybrid + "p/artifactStores/s"), has: []string{"placeholder"}, lacks: []string{"artifactStoreRef"}},
		"Template":    {reason: "a template's name with what AOSM fills in", lost: true, input: inTemplate("", resourceOf("", "{configurationparameters('Core').publisher}", "{}")), has: []string{"placeholder"}, lacks: []string{"kind:"}},
		"TooLong":     {reason: "65 characters", lost: true, input: answerOf(scoped(strings.Repeat("p", 65)), "{}"), has: []string{"at most 64"}, lacks: []string{"kind:"}},
		"Chart":       {reason: "a chart's version that is filled in", lost: true, input: strings.Replace(chart(hybrid+"p/artifactStores/s"), `"helmPackageVersionRange": "1.0.0"`, `"helmPackageVersionRange": "{deployParameters.v}"`, 1), has: []string{"placeholder"}, lacks: []string{"helmPackageName:"}},
		"ChartRange":  {reason: "a range is not one", input: strings.Replace(chart(hybrid+"p/artifactStores/s"), `"helmPackageVersionRange": "1.0.0"`, `"helmPackageVersionRange": ">=1.0.0 <2.0.0"`, 1), has: []string{"helmPackageVersionRange: '>=1.0.0 <2.0.0'"}},
		"Site":        {reason: "a design that is filled in", lost: true, input: answerOf("/subscriptions/0/resourceGroups/g/providers/Microsoft.HybridNetwork/siteNetworkServices/s", `{"networkServiceDesignVersionResourceReference": {"id": "`+hybrid+`p/networkServiceDesignGroups/d/networkServiceDesignVersions/[x]"}}`), has: []string{"AOSM allows semantic versions"}, lacks: []string{"kind:"}},
	}
	for name, id := range map[string]string{
		"PublisherSpace": "a b", "PublisherDot": "a.b", "PublisherUnderscore": "_a", "StoreSpace": "p/artifactStores/a b", "StoreDot": "p/artifactStores/a.b", "ManifestSpace": "p/artifactStores/s/artifactManifests/a b",
		"VersionTwo": "p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0", "VersionV": "p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/v1.0.0",
		"VersionZero": "p/networkServiceDesignGroups/g/networkServiceDesignVersions/01.0.0", "VersionLatest": "p/networkServiceDesignGroups/g/networkServiceDesignVersions/latest", "GroupDot": "p/networkServiceDesignGroups/a.b/networkServiceDesignVersions/1.0.0",
		"ManifestQuote": "p/artifactStores/s/artifactManifests/concat('a')", "PublisherBrace": "{publisher}",
	} {
		cases[name] = trial{reason: id, lost: true, options: o, input: answerOf(scoped(id), `{"artifacts": []}`), lacks: []string{"kind:"}}
	}
	checkAll(t, cases)
}

// TestUploadPathOfAnswers checks that the API version of a manifest is known,
// follows from the references to its store, or is asked for once for each store.
func TestUploadPathOfAnswers(t *testing.T) {
	t.Parallel()
	manifest := func(store, name string) string {
		return answerOf(scoped("p/artifactStores/"+store+"/artifactManifests/"+name), artifactsOf("a:1"))
	}
	named := func(id string) string {
		return answerOf(scoped("p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0"), chartOf(scoped(id)))
	}
	list := func(all ...string) string { return "[" + strings.Join(all, ",") + "]" }
	many := make([]string, 3000)
	for i := range many {
		many[i] = manifest("s", "m"+strings.Repeat("x", i%50)+string(rune('a'+i/50%26))+string(rune('a'+i/1300)))
	}
	old, scope := []string{"uploadPath: StoreScoped"}, []string{"uploadPath: ManifestScoped"}
	checkAll(t, map[string]trial{
		"Asked":      {reason: "nothing says it", lost: true, input: list(manifest("s", "a"), manifest("s", "b")), has: []string{"the API version of the manifests a, b of the store p/s is not in the input", "--api-version 2025-03-30"}, lacks: []string{"kind: ArtifactManifest"}},
		"AskedEach":  {reason: "once for each store", lost: true, input: list(manifest("s", "a"), manifest("t", "b")), has: []string{"the API version of the manifest a of the store p/s is", "the API version of the manifest b of the store p/t is"}},
		"Given":      {reason: "given for all", options: Options{APIVersion: manifestScopedVersion}, input: list(manifest("s", "a"), manifest("t", "b")), has: scope, lacks: old},
		"GivenStore": {reason: "given for one store", lost: true, options: Options{APIVersions: map[string]string{"s": manifestScopedVersion}}, input: list(manifest("S", "a"), manifest("t", "b")), has: append(scope, "the API version of the manifest b of the store p/t is"), lacks: old},
		"GivenMixed": {reason: "a publisher that is on its way", options: Options{APIVersion: "2024-04-15", APIVersions: map[string]string{"p/s": manifestScopedVersion, "p/s/b": "2023-09-01"}}, input: list(manifest("s", "a"), manifest("s", "b"), manifest("t", "c")), has: append(scope, old...)},
		"GivenNone":  {reason: "given for a store that is not there", lost: true, options: Options{APIVersion: manifestScopedVersion, APIVersions: map[string]string{"x": manifestScopedVersion}}, input: manifest("s", "a"), has: []string{`--api-version: no store of the input that can be mapped is called "x"`}},
		"Named":      {reason: "a version names it", input: list(manifest("s", "a"), named("p/artifactStores/s/artifactManifests/a")), has: scope, lacks: old},
		"Sibling":    {reason: "a version names another one of the store", input: list(manifest("s", "a"), manifest("s", "b"), named("p/artifactStores/s/artifactManifests/b")), has: append(scope, ": 2025-03-30 is assumed"), lacks: old},
		"OtherStore": {reason: "one of another store says nothing", lost: true, input: list(manifest("s", "a"), manifest("t", "b"), named("p/artifactStores/t/artifactManifests/b")), has: []string{"the API version of the manifest a of the store p/s is"}},
		"OldForm":    {reason: "all versions name the store itself", input: list(manifest("s", "a"), named("p/artifactStores/s")), has: append(old, "a version before 2025-03-30 is assumed"), lacks: scope},
		"BothForms":  {reason: "a store that is on its way", lost: true, input: list(manifest("s", "a"), manifest("s", "b"), named("p/artifactStores/s/artifactManifests/b"), answerOf(scoped("p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/2.0.0"), chartOf(scoped("p/artifactStores/s")))), has: append(scope, "the API version of the manifest a of the store p/s is"), lacks: old},
		"Template":   {reason: "a template beside the answer says it", input: list(manifest("s", "a")) + inTemplate("", resourceOf(manifestType, "p/s/a", artifactsOf("a:1"))), has: scope, lacks: old},
		"There":      {reason: "the manifest is there", input: manifest("s", "a"), has: scope, options: Options{There: []There{{Kind: v1alpha1.KindArtifactManifest, Namespace: "p", Name: "a", ID: scoped("p/artifactStores/s/artifactManifests/A"), UploadPath: v1alpha1.ManifestScoped}}}},
		"ThereOther": {reason: "another one is", lost: true, input: manifest("s", "a"), options: Options{There: []There{{Kind: v1alpha1.KindArtifactManifest, Namespace: "p", Name: "a", ID: scoped("p/artifactStores/t/artifactManifests/a"), UploadPath: v1alpha1.ManifestScoped}}}},
		"NoList":     {reason: "what lists nothing is not asked for", lost: true, input: strings.Replace(manifest("s", "a"), "artifacts\"", "x\"", 1), has: []string{"it does not say which artifacts it lists"}, lacks: []string{"--api-version"}},
	})
	r, err := Import(strings.NewReader(list(many...)), Options{})
	if err != nil || len(r.Findings) > 10 {
		t.Errorf("3000 manifests have %d findings, error %v", len(r.Findings), err)
	}
}

// TestPartsOfManifests checks that a manifest that cannot be listed completely is left out, whatever its state.
func TestPartsOfManifests(t *testing.T) {
	t.Parallel()
	sealed := func(api, artifacts string) string {
		return strings.Replace(answerOf(scoped("p/artifactStores/s/artifactManifests/m"), artifacts), `{"id"`, `{"apiVersion": "`+api+`", "id"`, 1)
	}
	checkAll(t, map[string]trial{
		"Slash":       {reason: "a name that is not a path segment", lost: true, input: sealed(manifestScopedVersion, artifactsOf("cert-manager:1.5.5", "vendorco/cert-controller:v1.5.5")), has: []string{"the manifest is left out", "cert-controller\" is not one path segment", "2025-03-30"}, lacks: []string{"kind: ArtifactManifest"}},
		"SlashBefore": {reason: "before 2025-03-30 it can be listed", input: sealed("2024-04-15", artifactsOf("cert-manager:1.5.5", "vendorco/cert-controller:v1.5.5")), has: []string{"artifactName: vendorco/cert-controller"}},
		"NoTag":       {reason: "a version that is not a tag", lost: true, input: sealed(manifestScopedVersion, artifactsOf("a:1", "b:not a tag")), has: []string{"the manifest is left out"}, lacks: []string{"kind: ArtifactManifest"}},
		"NoName":      {reason: "a name that is not a repository's", lost: true, input: sealed(manifestScopedVersion, artifactsOf("a:1", "b//c:1")), has: []string{"the manifest is left out"}, lacks: []string{"kind: ArtifactManifest"}},
		"LongName":    {reason: "a name that is too long with the manifest's", lost: true, input: sealed(manifestScopedVersion, artifactsOf("a:1", strings.Repeat("b", 250)+":1")), has: []string{"the manifest is left out"}, lacks: []string{"kind: ArtifactManifest"}},
		"Disk":        {reason: "a disk has nothing to release", lost: true, input: sealed(manifestScopedVersion, `{"artifacts": [{"artifactName": "a", "artifactVersion": "1"}, {"artifactName": "Disk 1", "artifactVersion": "1", "artifactType": "VhdImageFile"}]}`), has: []string{"artifactName: a", "is not in an OCI registry"}},
		"Twice":       {reason: "nothing is lost of one that is listed twice", input: sealed(manifestScopedVersion, artifactsOf("a:1", "a:1")), has: []string{"is listed twice"}},
	})
}

// TestStates checks that an answer sets a state, and a template does not.
func TestStates(t *testing.T) {
	t.Parallel()
	manifest := func(state string) string {
		return strings.Replace(artifactsOf("a:1"), "{", `{"artifactManifestState": "`+state+`", `, 1)
	}
	version := func(state string) string {
		return strings.Replace(chartOf(hybrid+"p/artifactStores/s/artifactManifests/m"), "{", `{"versionState": "`+state+`", `, 1)
	}
	answer := func(rest, properties string) string { return answerOf(scoped("p/"+rest), properties) }
	const m, v, d = "artifactStores/s/artifactManifests/m", "networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0", "networkServiceDesignGroups/g/networkServiceDesignVersions/1.0.0"
	design := strings.Replace(designOf("ArmResourceDefinition", `"{}"`), "{", `{"versionState": "Active", `, 1)
	o := Options{APIVersion: manifestScopedVersion}
	const reported = "a template does not set "
	checkAll(t, map[string]trial{
		"Uploaded":         {reason: "sealed", options: o, input: answer(m, manifest("Uploaded")), has: []string{"artifactManifestState: Uploaded"}},
		"Succeeded":        {reason: "after the seal", options: o, input: answer(m, manifest("Succeeded")), has: []string{"artifactManifestState: Uploaded", "taken to be Uploaded"}},
		"SucceededCase":    {reason: "in any case", options: o, input: answer(m, manifest("SUCCEEDED")), has: []string{"artifactManifestState: Uploaded"}},
		"Validating":       {reason: "not yet", options: o, input: answer(m, manifest("Validating")), has: []string{"taken to be Uploading"}, lacks: []string{"artifactManifestState: Up"}},
		"ValidationFailed": {reason: "nor this", options: o, input: answer(m, manifest("ValidationFailed")), has: []string{"taken to be Uploading"}, lacks: []string{"artifactManifestState: Up"}},
		"Active":           {reason: "an answer", options: o, input: answer(v, version("Active")), has: []string{"versionState: Active"}},
		"Deprecated":       {reason: "an answer", options: o, input: answer(v, version("Deprecated")), has: []string{"versionState: Deprecated"}},
		"TemplateActive":   {reason: "a deployment makes a preview", input: inTemplate("", resourceOf(definitionType, "p/g/1.0.0", version("Active"))), has: []string{reported + "versionState"}, lacks: []string{"versionState: Active\n"}},
		"TemplateDesign":   {reason: "a design, too", input: inTemplate("", resourceOf(designType, "stark/g/1.0.0", design)), has: []string{reported + "versionState"}, lacks: []string{"versionState: Active\n"}},
		"TemplatePreview":  {reason: "as a deployment does", input: inTemplate("", resourceOf(definitionType, "p/g/1.0.0", version("Preview"))), lacks: []string{reported}},
		"TemplateUploaded": {reason: "nor seals it", input: inTemplate("", resourceOf(manifestType, "p/s/m", manifest("Uploaded"))), has: []string{reported + "artifactManifestState"}, lacks: []string{"artifactManifestState: U"}},
		"Design":           {reason: "an answer's design", input: answer(d, strings.ReplaceAll(design, "stark", "p")), has: []string{"versionState: Active"}},
	})
}

// TestRegistriesOfPublishers checks that a URL is used for one store only.
func TestRegistriesOfPublishers(t *testing.T) {
	t.Parallel()
	store := func(publisher, name, more string) string {
		return answerOf(scoped(publisher+"/artifactStores/"+name), `{"storeType": "AzureContainerRegistry"`+more+`}`)
	}
	two := "[" + store("east", "main", "") + "," + store("west", "Main", "") + "]"
	const a, b = "https://a.example.com", "https://b.example.com"
	backed := `, "storageResourceId": "/subscriptions/0/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/abcde"`
	with := func(pairs ...string) (o Options) {
		o.Registries = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			o.Registries[pairs[i]] = pairs[i+1]
		}
		return o
	}
	checkAll(t, map[string]trial{
		"Ambiguous": {reason: "one URL for two stores", lost: true, options: with("main", a), input: two, has: []string{"--registry east/main=", "--registry west/Main="}, lacks: []string{"kind: ArtifactStore"}},
		"Each":      {reason: "one for each", options: with("east/main", a, "West/main", b), input: two, has: []string{"url: " + a, "url: " + b}},
		"OneOf":     {reason: "the rest is asked for", lost: true, options: with("east/main", a), input: two, has: []string{"url: " + a, "give it with --registry Main="}},
		"Both":      {reason: "the longer name counts more", lost: true, options: with("east/main", a, "main", b), input: two, has: []string{"url: " + a, "--registry west/Main="}},
		"Same":      {reason: "the same place twice", lost: true, options: with("east/main", a+"/x", "west/main", a+"/x/"), input: two, has: []string{"overlaps"}},
		"Inside":    {reason: "one in the other", lost: true, options: with("east/main", a+"/x", "west/main", a+"/x/y"), input: two, has: []string{"overlaps"}},
		"Beside":    {reason: "a name that begins the same is not a prefix", options: with("east/main", a+"/x", "west/main", a+"/xy"), input: two},
		"Backed":    {reason: "two with one registry of Azure's", lost: true, input: "[" + store("east", "main", backed) + "," + store("west", "other", backed) + "]", has: []string{"overlaps"}},
		"Unused":    {reason: "a publisher that has none", lost: true, options: with("north/main", a, "east/main", a, "west/main", b), input: two, has: []string{`--registry: no store of the input that can be mapped is called "north/main"`}},
		"There":     {reason: "the store is there, and keeps its URL", input: store("east", "main", backed), has: []string{"url: " + a, "and keeps it"}, options: Options{There: []There{{Kind: v1alpha1.KindArtifactStore, Namespace: "east", Name: "main", ID: scoped("east/artifactStores/main"), URL: a}}}},
		"ThereBare": {reason: "the same of a template", input: inTemplate("", resourceOf("/artifactStores", "east/main", "{}")), has: []string{"url: " + a}, options: Options{There: []There{{Kind: v1alpha1.KindArtifactStore, Namespace: "east", Name: "main", ID: scoped("east/artifactStores/main"), URL: a}}}},
	})
}

// TestNamesDoNotChange checks that a site has the same name whatever
// else is in the input, and that existing objects keep their names.
func TestNamesDoNotChange(t *testing.T) {
	t.Parallel()
	site := func(group string) string {
		return answerOf("/subscriptions/0/resourceGroups/"+group+"/providers/Microsoft.HybridNetwork/siteNetworkServices/core", `{"networkServiceDesignVersionResourceReference": {"id": "`+scoped("p/networkServiceDesignGroups/d/networkServiceDesignVersions/1.0.0")+`"}}`)
	}
	both := "[" + site("rg-york") + "," + site("rg-leeds") + "]"
	const york, leeds = "name: core-4a05a6e3\n", "name: core-5cb9e6f4\n"
	there := func(kind, namespace, name, id string) Options {
		return Options{There: []There{{Kind: kind, Namespace: namespace, Name: name, ID: id}}}
	}
	template := inTemplate("", `{"type": "Microsoft.HybridNetwork/siteNetworkServices", "apiVersion": "2025-03-30", "name": "core", "properties": {"networkServiceDesignVersionResourceReference": {"id": "[resourceId('Microsoft.HybridNetwork/publishers/networkServiceDesignGroups/networkServiceDesignVersions', 'p', 'd', '1.0.0')]"}}}`)
	m := func(store string) string {
		return answerOf(scoped("p/artifactStores/"+store+"/artifactManifests/cnf"), artifactsOf("a:1"))
	}
	named := answerOf(scoped("p/networkFunctionDefinitionGroups/g/networkFunctionDefinitionVersions/1.0.0"), chartOf(scoped("p/artifactStores/t/artifactManifests/cnf")))
	old := there(v1alpha1.KindArtifactManifest, "p", "cnf", scoped("p/artifactStores/s/artifactManifests/cnf"))
	old.APIVersion = manifestScopedVersion
	renamed := there(v1alpha1.KindArtifactManifest, "p", "cnf-x", scoped("p/artifactStores/t/artifactManifests/cnf"))
	renamed.APIVersion = manifestScopedVersion
	checkAll(t, map[string]trial{
		"York":       {reason: "alone", input: site("rg-york"), has: []string{york}},
		"Both":       {reason: "with another one", input: both, has: []string{york, leeds}},
		"Case":       {reason: "in another case", input: strings.Replace(site("RG-YORK"), "siteNetworkServices/core", "sitenetworkservices/CORE", 1), has: []string{york}},
		"There":      {reason: "one that is there under its short name", input: both, options: there(v1alpha1.KindSite, "p", "core", "/subscriptions/0/resourceGroups/rg-york/providers/Microsoft.HybridNetwork/siteNetworkServices/core"), has: []string{"name: core\n", leeds}, lacks: []string{york}},
		"Unscoped":   {reason: "or of a template, which knows no scope", input: site("rg-york"), options: there(v1alpha1.KindSite, "p", "core", "/providers/Microsoft.HybridNetwork/siteNetworkServices/core"), has: []string{"name: core\n"}},
		"Template":   {reason: "a template after an answer", input: template, options: there(v1alpha1.KindSite, "p", "core-4a05a6e3", "/subscriptions/0/resourceGroups/rg-york/providers/Microsoft.HybridNetwork/siteNetworkServices/core"), has: []string{york}},
		"Elsewhere":  {reason: "in another namespace it is another one", input: site("rg-york"), options: there(v1alpha1.KindSite, "q", "core", "/subscriptions/0/resourceGroups/rg-york/providers/Microsoft.HybridNetwork/siteNetworkServices/core"), has: []string{york}},
		"Manifests":  {reason: "a manifest of the name of another one that is there", input: "[" + m("s") + "," + m("t") + "]", options: old, has: []string{"name: cnf\n", "name: cnf-"}},
		"NameTaken":  {reason: "a reference to a manifest whose name another one has already", input: named, options: old, has: []string{"name: cnf-", "neither in the input nor in the cluster"}, lacks: []string{"name: cnf\n"}},
		"NotThere":   {reason: "a reference to what may become another one", input: named, options: Options{APIVersion: manifestScopedVersion}, has: []string{"name: cnf\n", "neither in the input nor in the cluster"}},
		"NamedThere": {reason: "nothing is to be said of what is there", input: named, options: renamed, lacks: []string{"neither in the input"}},
		"References": {reason: "a reference to what is there under another name", input: named, options: renamed, has: []string{"name: cnf-x\n"}},
	})
}

// TestNothingIsReportedTwice checks that the result of an expression
// is read once, and that no part of it is reported as unknown.
func TestNothingIsReportedTwice(t *testing.T) {
	t.Parallel()
	const list = `"variables": {"l": [{"artifactName": "a", "artifactVersion": "1"}], "p": {"artifacts": [{"artifactName": "a", "artifactVersion": "1"}]}}, `
	of := func(properties string) string { return inTemplate(list, resourceOf(manifestType, "p/s/m", properties)) }
	cases := map[string]trial{}
	for name, properties := range map[string]string{
		"Union": `{"artifacts": "[union(variables('l'), createArray(createObject('artifactName', 'b', 'artifactVersion', '1')))]"}`, "Properties": `"[union(variables('p'), createObject())]"`,
		"JSON": `"[json('{\"artifacts\": [{\"artifactName\": \"a\", \"artifactVersion\": \"1\"}]}')]"`, "Map": `{"artifacts": "[map(range(0, 2), lambda('i', createObject('artifactName', 'a', 'artifactVersion', string(lambdaVariables('i')))))]"}`,
		"Copy":     `{"copy": [{"name": "artifacts", "count": 2, "input": {"artifactName": "a", "artifactVersion": "[string(copyIndex('artifacts'))]"}}]}`,
		"CopyText": `{"copy": [{"name": "artifacts", "count": 2, "input": "[createObject('artifactName', 'a', 'artifactVersion', string(copyIndex('artifacts')))]"}]}`,
	} {
		cases[name] = trial{reason: properties, input: of(properties), has: []string{"artifactName: a"}, lacks: []string{"no counterpart"}}
	}
	unknown := trial{reason: "but what is unknown is", lost: true, input: of(`{"artifacts": "[union(variables('l'), createArray(createObject('artifactName', 'b', 'artifactVersion', '1', 'colour', 'blue')))]"}`), has: []string{"artifactName: b", "colour: it has no counterpart"}}
	cases["Unknown"] = unknown
	checkAll(t, cases)
}

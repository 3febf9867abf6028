package aosm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const smf = "resourceId('Microsoft.HybridNetwork/publishers/networkFunctionDefinitionGroups/networkFunctionDefinitionVersions','stark','smf','1.0.0')"

// smfID is the id of a definition in a subscription.
var smfID = scoped("stark/networkFunctionDefinitionGroups/smf/networkFunctionDefinitionVersions/1.0.0")

// designOf returns the properties of a design with one template, whose parameter values are a JSON value.
func designOf(kind, values string) string {
	return fmt.Sprintf(`{"resourceElementTemplates": [{"name": "smf", "type": %q, "configuration": {"templateType": "ArmTemplate", "parameterValues": %s,
		"artifactProfile": {"artifactName": "tmpl", "artifactVersion": "1.0.0", "artifactStoreReference": {"id": %q}}}}]}`, kind, values, hybrid+"stark/artifactStores/main")
}

func quote(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

// TestDefinitionOfADesign checks that the definition of a design is found however its values are composed, or is reported.
func TestDefinitionOfADesign(t *testing.T) {
	t.Parallel()
	found := []string{"networkFunctionDefinitionVersionRef:\n        name: smf-1.0.0\n"}
	type values struct {
		reason, values string
		answer         bool // the design is in an answer, not in a template
		sections       string
		says           string // a finding; "" if the definition is found
		both           bool   // it is found, and there is a finding too
	}
	for name, v := range map[string]values{
		"Format":        {"an id of the deployment's own scope in format()", quote(`[format('{{"nfdvId": "{0}"}}', ` + smf + `)]`), false, "", "", false},
		"Concat":        {"the same by concat()", quote(`[concat('{"nfdvId": "', ` + smf + `, '"}')]`), false, "", "", false},
		"Location":      {"beside something else that only a deployment knows", quote(`[format('{{"nfdvId": "{0}", "location": "{1}", "name": "{2}"}}', ` + smf + `, resourceGroup().location, uniqueString(resourceGroup().id))]`), false, "", "", false},
		"String":        {"an object as a text", quote(`[string(variables('v'))]`), false, `"variables": {"v": {"nfdvId": "[` + smf + `]"}}, `, "", false},
		"CreateObject":  {"an object made on the spot", quote(`[string(createObject('nfdvId', ` + smf + `))]`), false, "", "", false},
		"Union":         {"an object of two", quote(`[string(union(createObject('a', 1), variables('v')))]`), false, `"variables": {"v": {"nfdvId": "[` + smf + `]"}}, `, "", false},
		"Replace":       {"a text with a placeholder of its own", quote(`[replace(replace('{"nfdvId": "@"}', '@', ` + smf + `), 'a', 'a')]`), false, "", "", false},
		"Inner":         {"JSON as a text in JSON", quote(`{"config": "{\"nfdvId\": \"` + smfID + `\"}"}`), true, "", "", false},
		"List":          {"in a list", quote(`{"ids": ["` + smfID + `"]}`), true, "", "", false},
		"Nested":        {"deep in objects", quote(`{"a": {"b": {"id": "` + smfID + `"}}}`), true, "", "", false},
		"Bare":          {"members without an object around, as in public examples", quote(`"nfdvId": "` + smfID + `"`), true, "", "", false},
		"Object":        {"no text but the object itself", `{"nfdvId": "` + smfID + `"}`, true, "", "", false},
		"Case":          {"in another case", quote(`{"nfdvId": "` + strings.ToUpper(smfID) + `"}`), true, "", "", false},
		"Version":       {"with the version beside", quote(`{"nfdvId": "` + smfID + `", "nfdVersion": "1.0.0"}`), true, "", "", false},
		"Placeholder":   {"the version is filled in at deployment", quote(`{"nfdvId": "` + strings.TrimSuffix(smfID, "1.0.0") + `{configurationparameters('Core').smfVersion}"}`), true, "", "which definition it deploys is decided at deployment", false},
		"PlaceholderOf": {"all of it is", quote(`{"nfdvId": "{configurationparameters('Core').smf}"}`), true, "", "decided at deployment", false},
		"Expression":    {"an answer has an expression as it is", quote(`{"nfdvId": "` + strings.TrimSuffix(smfID, "1.0.0") + `[parameters('version')]"}`), true, "", "placeholder", false},
		"AzAOSM":        {"as az aosm writes it", quote(`{"deploymentParameters": ["{configurationparameters('X').nginx.deploymentParameters}"], "nginx_nfdg_nfd_version": "{configurationparameters('X').nginx.nginx_nfdg_nfd_version}"}`), true, "", "decided at deployment", false},
		"Range":         {"a range of versions is not a version", quote(`{"nfdvId": "` + strings.TrimSuffix(smfID, "1.0.0") + `~1.0"}`), true, "", "AOSM allows semantic versions", false},
		"Unknown":       {"a name that only the deployment knows", quote(`[format('{{"nfdvId": "{0}"}}', resourceId('Microsoft.HybridNetwork/publishers/networkFunctionDefinitionGroups/networkFunctionDefinitionVersions','stark',uniqueString('x'),'1.0.0'))]`), false, "", "known at deployment only", false},
		"Function":      {"a function that is not evaluated", quote(`[format('{{"nfdvId": "{0}"}}', reference('x').id)]`), false, "", "which definition it deploys cannot be decided", false},
		"Parameter":     {"a parameter without a value", quote(`[parameters('values')]`), false, `"parameters": {"values": {"type": "string"}}, `, "give it one with --parameters", false},
		"Parts":         {"names alone", quote(`{"publisherName": "stark", "networkFunctionDefinitionGroupName": "smf", "nfdVersion": "1.0.0"}`), true, "", "it is not a whole id", false},
		"Group":         {"a group is not a version", quote(`{"group": "` + scoped("stark/networkFunctionDefinitionGroups/smf") + `"}`), true, "", "is not a definition version", false},
		"Several":       {"two definitions", quote(`{"a": "` + smfID + `", "b": "` + strings.ReplaceAll(smfID, "smf", "amf") + `"}`), true, "", "several definitions", false},
		"Broken":        {"no JSON", quote(`{"nfdvId": "` + smfID + `"`), true, "", "the values are no JSON", false},
		"Abroad":        {"of another publisher", quote(`{"nfdvId": "` + strings.ReplaceAll(smfID, "stark", "wayne") + `"}`), true, "", "it is of the publisher", false},
		"Half":          {"one can be read, and one not", quote(`{"a": "` + smfID + `", "b": "` + strings.ReplaceAll(smfID, "1.0.0", "{x}") + `"}`), true, "", "placeholder", true},
		"URL":           {"a URL is not an id", quote(`{"nfdv": "https://management.azure.com` + smfID + `"}`), true, "", "it is not a whole id", false},
	} {
		for _, kind := range []string{"ArmResourceDefinition", "NetworkFunctionDefinition"} {
			o := trial{reason: v.reason, lost: v.says != "", input: inTemplate(v.sections, resourceOf(designType, "stark/core/1.0.0", designOf(kind, v.values)))}
			if v.answer {
				o.input = answerOf(scoped("stark/networkServiceDesignGroups/core/networkServiceDesignVersions/1.0.0"), designOf(kind, v.values))
			}
			if o.has = []string{"kind: NetworkServiceDesignVersion", v.says}; v.says == "" || v.both {
				o.has = append(o.has, found...)
			} else {
				o.lacks = []string{"networkFunctionDefinitionVersionRef:"}
				if name != "Abroad" {
					o.has = append(o.has, setReference)
				}
			}
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				o.check(t)
			})
		}
	}
}

// TestValuesThatNameNoDefinition would find a report of a definition for values that have nothing to do with definitions.
func TestValuesThatNameNoDefinition(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{
		"Empty": `{}`, "Other": `{"vnetName": "x", "id": "/subscriptions/0/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"}`,
		"Prose": `"publisherName": "no JSON"`, "Nothing": ``, "Null": `{"nfdvId": null, "nfdVersion": ""}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			design := designOf("ArmResourceDefinition", quote(values))
			trial{reason: name, input: answerOf(scoped("stark/networkServiceDesignGroups/core/networkServiceDesignVersions/1.0.0"), design)}.check(t)
		})
	}
}

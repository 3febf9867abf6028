package function_test

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/expression"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

const sections = `{
	"parameters": {"name": {"type": "string", "defaultValue": "upf"}, "secret": {"type": "string", "defaultValue": "` + arm.VaultSecret + `"}},
	"variables": {"object": {"Member": {"inner": "[concat(parameters('name'), '!')]"}, "n": 1, "nothing": null}},
	"resources": [{"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "names", "properties": {
		"mode": "Incremental", "template": {"resources": [], "outputs": {"version": {"type": "string", "value": "1.0.0"}}}
	}}],
	"value": "placeholder"
}`

// evaluated returns the value of an expression in a template.
func evaluated(t *testing.T, text string) (string, error) {
	t.Helper()
	documents, err := document.Parse([]byte(sections))
	if err != nil {
		t.Fatal(err)
	}
	s := template.NewSession(expression.Evaluate)
	n := documents[0].Member("value")
	n.Text = text
	return template.Value{Node: n, Scope: &template.Scope{Session: s, Template: template.NewTemplate(s, documents[0], nil)}}.Rendered()
}

// TestFunctions checks the results and the errors of the functions that public templates use.
func TestFunctions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ expression, want, fails string }{
		"UnionArrays":        {`[union(createArray('a', 'b'), createArray('b', 'c'))]`, `["a","b","c"]`, ""},
		"UnionObjects":       {`[union(createObject('a', 1, 'b', createObject('x', 1)), createObject('B', createObject('y', 2), 'c', 3))]`, `{"a":1,"B":{"x":1,"y":2},"c":3}`, ""},
		"UnionLists":         {`[union(createObject('a', createArray(1)), createObject('a', createArray(2)))]`, `{"a":[2]}`, ""},
		"UnionOfVariables":   {`[union(variables('object'), createObject('n', 2)).member.inner]`, `"upf!"`, ""},
		"UnionMixed":         {`[union(createArray('a'), createObject('a', 1))]`, "", "alone"},
		"UnionNoObject":      {`[union('a', 'b')]`, "", "alone"},
		"Intersection":       {`[intersection(createArray(1, 2, 3), createArray(3, 2))]`, `[2,3]`, ""},
		"IntersectObjects":   {`[intersection(createObject('a', 1, 'b', 2), createObject('a', 1, 'b', 3))]`, `{"a":1}`, ""},
		"Range":              {`[range(3, 3)]`, `[3,4,5]`, ""},
		"RangeOfNone":        {`[range(0, 0)]`, `[]`, ""},
		"RangeNegative":      {`[range(-1, 2)]`, `[-1,0]`, ""},
		"RangeTooMany":       {`[range(0, 10001)]`, "", "from 0 to 10000"},
		"RangeOfText":        {`[range('0', 1)]`, "", "number is needed"},
		"CreateObject":       {`[createObject('a', 1, 'b', parameters('name'))]`, `{"a":1,"b":"upf"}`, ""},
		"CreateObjectTwice":  {`[createObject('a', 1, 'A', 2)]`, `{"A":2}`, ""},
		"CreateObjectOdd":    {`[createObject('a')]`, "", "without a value"},
		"CreateObjectKey":    {`[createObject(resourceGroup().name, 1)]`, "", "deployment only"},
		"Split":              {`[split('a,b', ',')]`, `["a","b"]`, ""},
		"SplitBySeveral":     {`[split('a,b;c', createArray(',', ';'))]`, `["a","b","c"]`, ""},
		"SplitID":            {`[last(split(resourceId('A.B/c', 'x'), '/'))]`, `"x"`, ""},
		"SplitUnknown":       {`[split(resourceGroup().name, '-')]`, "", "deployment only"},
		"SplitByNothing":     {`[split('a', '')]`, "", "delimiter"},
		"Join":               {`[join(createArray('a', parameters('name'), 1), '-')]`, `"a-upf-1"`, ""},
		"First":              {`[concat(first('abc'), first(createArray('x')), last('abc'), last(createArray('x', 'y')))]`, `"axcy"`, ""},
		"FirstOfNone":        {`[first(createArray())]`, `null`, ""},
		"LastUnknown":        {`[last(resourceGroup().name)]`, "", "deployment only"},
		"Skip":               {`[concat(skip(range(0, 3), 1), take(range(0, 3), 1), skip(range(0, 1), 5))]`, `[1,2,0]`, ""},
		"SkipText":           {`[concat(skip('abc', 1), take('abc', 1), take('a', 9))]`, `"bcaa"`, ""},
		"Contains":           {`[createArray(contains('abc', 'b'), contains('abc', 'B'), contains(createArray('a'), 'a'), contains(createObject('Key', 1), 'kEY'))]`, `[true,false,true,true]`, ""},
		"ContainsUnknown":    {`[contains(resourceGroup().name, 'x')]`, "", "deployment only"},
		"ContainsOfUnknown":  {`[contains(createArray('a', resourceGroup().name), 'a')]`, `true`, ""},
		"Empty":              {`[createArray(empty(''), empty(null()), empty(createObject()), empty(createArray(1)), empty(resourceGroup().name))]`, `[true,true,true,false,false]`, ""},
		"EmptyOfAnyText":     {`[empty(parameters('secret'))]`, "", "deployment only"},
		"EmptyIsKnown":       {`[equals(resourceGroup().name, '')]`, `false`, ""},
		"SameUnknown":        {`[equals(uniqueString('a'), uniqueString('a'))]`, `true`, ""},
		"OtherUnknown":       {`[equals(uniqueString('a'), uniqueString('b'))]`, "", "deployment only"},
		"UnionOfUnknown":     {`[length(union(createArray(uniqueString('a')), createArray(uniqueString('b'))))]`, `2`, ""},
		"LengthUnknown":      {`[length(guid('a'))]`, "", "deployment only"},
		"Substring":          {`[concat(substring('abcd', 1, 2), substring('ab', 1))]`, `"bcb"`, ""},
		"SubstringBeyond":    {`[substring('ab', 1, 2)]`, "", "beyond the text"},
		"SubstringUnknown":   {`[substring(uniqueString('a'), 0, 5)]`, "", "deployment only"},
		"IndexOf":            {`[createArray(indexOf('aBc', 'b'), lastIndexOf('aba', 'A'), indexOf('a', 'z'), indexOf(createArray('a', 'b'), 'b'), lastIndexOf(createArray(1, 1), 1))]`, `[1,2,-1,1,1]`, ""},
		"StartsWith":         {`[createArray(startsWith('abc', 'AB'), endsWith('abc', 'c'), endsWith('abc', 'b'))]`, `[true,true,false]`, ""},
		"PadLeft":            {`[concat(padLeft('1', 3, '0'), padLeft(7, 2), padLeft('abc', 2))]`, `"001 7abc"`, ""},
		"PadLeftTooFar":      {`[padLeft('1', 100000)]`, "", "at most 1000"},
		"Trim":               {`[trim('  a ')]`, `"a"`, ""},
		"Base64":             {`[createArray(base64('a'), base64ToString('YQ=='), base64ToJson('eyJhIjoxfQ==').a)]`, `["YQ==","a",1]`, ""},
		"Base64Broken":       {`[base64ToString('%')]`, "", "cannot be decoded"},
		"URI":                {`[createArray(uriComponent('a b/c'), uriComponentToString('a%20b'))]`, `["a%20b%2Fc","a b"]`, ""},
		"Arithmetic":         {`[createArray(add(1, 2), sub(1, 2), mul(3, 4), div(7, 2), mod(7, 2), int('5'), min(2, 1), max(createArray(1, 3)))]`, `[3,-1,12,3,1,5,1,3]`, ""},
		"DivideByZero":       {`[div(1, 0)]`, "", "divided by zero"},
		"TooGreat":           {`[mul(9223372036854775807, 2)]`, "", "64 bits"},
		"LeastDivided":       {`[div(-9223372036854775807, -1)]`, `9223372036854775807`, ""},
		"NoNumber":           {`[int('x')]`, "", "not a number"},
		"Bool":               {`[createArray(bool('True'), bool(0))]`, `[true,false]`, ""},
		"Compare":            {`[createArray(less(1, 2), lessOrEquals(2, 2), greater(1, 2), greaterOrEquals('b', 'a'))]`, `[true,true,false,true]`, ""},
		"CompareMixed":       {`[less(1, 'a')]`, "", "two numbers or two texts"},
		"Items":              {`[items(createObject('b', 1, 'a', 2))]`, `[{"key":"a","value":2},{"key":"b","value":1}]`, ""},
		"ObjectKeys":         {`[objectKeys(createObject('b', 1, 'a', 2))]`, `["a","b"]`, ""},
		"ShallowMerge":       {`[shallowMerge(createArray(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 1))))]`, `{"a":{"y":1}}`, ""},
		"Flatten":            {`[flatten(createArray(createArray(1), createArray(2, 3)))]`, `[1,2,3]`, ""},
		"Array":              {`[concat(array('a'), array(createArray('b')))]`, `["a","b"]`, ""},
		"TryGet":             {`[createArray(tryGet(variables('object'), 'member', 'inner'), tryGet(variables('object'), 'none', 'inner'), tryGet(createArray(1), 3))]`, `["upf!",null,null]`, ""},
		"FromEnd":            {`[indexFromEnd(createArray(1, 2, 3), 1)]`, `3`, ""},
		"FormatNull":         {`[format('({0}{1})', null(), createArray(1))]`, `"([1])"`, ""},
		"SubscriptionID":     {`[subscriptionResourceId('A.B/c', 'x')]`, `"/subscriptions/` + arm.OwnSubscription + `/providers/A.B/c/x"`, ""},
		"TenantID":           {`[tenantResourceId('A.B/c', 'x')]`, `"/providers/A.B/c/x"`, ""},
		"ReplaceUnknown":     {`[replace('a', resourceGroup().name, 'b')]`, "", "deployment only"},
		"ReplaceInUnknown":   {`[equals(replace(resourceGroup().name, '-', ''), resourceGroup().name)]`, "", "deployment only"},
		"ReplaceTheSame":     {`[equals(replace(resourceGroup().name, '-', ''), replace(resourceGroup().name, '-', ''))]`, "true", ""},
		"ReplaceBeside":      {`[equals(replace(resourceGroup().name, '@', ''), resourceGroup().name)]`, "true", ""},
		"ReplaceByTheSame":   {`[equals(replace(resourceGroup().name, 'a', 'a'), resourceGroup().name)]`, "true", ""},
		"ReplaceAround":      {`[split(replace(concat(resourceGroup().name, '/x-y'), '-', '_'), '/')[1]]`, `"x_y"`, ""},
		"ReplaceAcross":      {`[replace(concat('x-', resourceGroup().name), '-a', '')]`, "", "deployment only"},
		"ReplaceAcrossEnd":   {`[replace(concat(resourceGroup().name, '-x'), 'a-', '')]`, "", "deployment only"},
		"ReplaceAcrossTwo":   {`[replace(concat(resourceGroup().name, '-', resourceGroup().location), 'a-b', '')]`, "", "deployment only"},
		"ReplaceAcrossNone":  {`[replace(concat(resourceGroup().name, resourceGroup().location), 'ab', '')]`, "", "deployment only"},
		"ReplaceToNothing":   {`[equals(replace(resourceGroup().name, 'acme', ''), '')]`, "", "deployment only"},
		"LowerUnknown":       {`[equals(toLower(resourceGroup().name), resourceGroup().name)]`, "", "deployment only"},
		"LowerSame":          {`[equals(toLower(concat('A', resourceGroup().name)), concat('a', toLower(resourceGroup().name)))]`, "true", ""},
		"TrimUnknown":        {`[equals(trim(concat(' ', resourceGroup().name)), resourceGroup().name)]`, "true", ""},
		"TrimSecret":         {`[trim(parameters('secret'))]`, "", "deployment only"},
		"SplitSecret":        {`[split(parameters('secret'), '/')]`, "", "deployment only"},
		"SplitTime":          {`[split(utcNow('yyyy/MM'), '/')]`, "", "deployment only"},
		"SplitGuid":          {`[split(concat('a/', guid('x'), '/b'), '/')[2]]`, `"b"`, ""},
		"SplitGroupByComma":  {`[split(concat(resourceGroup().name, ',b'), ',')[1]]`, `"b"`, ""},
		"JSONOfSecret":       {`[json(concat('{"a": "', parameters('secret'), '"}'))]`, "", "deployment only"},
		"EmptySecret":        {`[equals(parameters('secret'), '')]`, "", "deployment only"},
		"EmptyGroup":         {`[equals(resourceGroup().name, '')]`, "false", ""},
		"ReplaceNothing":     {`[replace('a', '', 'b')]`, "", "what to replace"},
		"ReferenceOutputs":   {`[reference('names').outputs.version.value]`, `"1.0.0"`, ""},
		"ReferenceWhole":     {`[reference('names', '2022-09-01', 'Full').properties.outputs.version.value]`, `"1.0.0"`, ""},
		"ReferenceElsewhere": {`[reference('none')]`, "", "deployment only"},
		"ResourceInfo":       {`[concat(resourceInfo('1').type, '/', resourceInfo('1').name)]`, "", "no such resource"},
		"ResourceID":         {`[resourceId('s', 'g', 'A.B/c', 'x')]`, `"/subscriptions/s/resourceGroups/g/providers/A.B/c/x"`, ""},
		"ResourceIDNoType":   {`[resourceId('x', 'y')]`, "", "names no type"},
		"ResourceIDNames":    {`[resourceId('A.B/c/d', 'x')]`, "", "needs 2 names"},
		"ExtensionID":        {`[extensionResourceId('/a', 'A.B/c', 'x')]`, `"/a/providers/A.B/c/x"`, ""},
		"GroupKnowsNot":      {`[length(deployment().name)]`, "", "deployment only"},
		"TenantKnowsNot":     {`[equals(tenant().tenantId, deployer().tenantId)]`, `true`, ""},
		"CopyIndexNowhere":   {`[copyIndex('none')]`, "", "no such loop"},
		"Not":                {`[not(equals(1, 2))]`, `true`, ""},
		"NotOfText":          {`[not('true')]`, "", "neither true nor false"},
		"String":             {`[createArray(string(1), string(createObject('a', null())))]`, `["1","{\"a\":null}"]`, ""},
		"JSON":               {`[json('{"a": [1, true]}').a]`, `[1,true]`, ""},
		"NoJSON":             {`[json('{')]`, "", "not JSON"},
		"BoolOfWord":         {`[bool('yes')]`, "", "neither true nor false"},
		"MinOfNone":          {`[min(createArray())]`, "", "no numbers"},
		"MinOfTexts":         {`[min('a')]`, "", "number is needed"},
		"AddTexts":           {`[add('1', 2)]`, "", "number is needed"},
		"FormatNumber":       {`[format('{0:D2}', 1)]`, "", "placeholder"},
		"FormatObject":       {`[format(createObject('a', 1))]`, "", "text is needed"},
		"ConcatMixed":        {`[concat(createArray(1), 'a')]`, "", "arrays alone"},
		"JoinText":           {`[join('a', 'b')]`, "", "takes an array"},
		"LengthOfNumber":     {`[length(1)]`, "", "takes a text"},
		"FlattenOfOther":     {`[flatten(createArray(1))]`, "", "array of arrays"},
		"FromEndBeyond":      {`[indexFromEnd(createArray(1), 2)]`, "", "no item 2"},
		"IntersectMixed":     {`[intersection(createArray(1), 'a')]`, "", "alone"},
		"IntersectNoObject":  {`[intersection(createObject('a', 1), 'a')]`, "", "alone"},
		"MergeOfOther":       {`[shallowMerge(createObject('a', 1))]`, "", "array of objects"},
		"ItemsOfText":        {`[items('a')]`, "", "an object is needed"},
		"TryGetOfUnknown":    {`[tryGet(createObject('a', 1), resourceGroup().name)]`, "", "deployment only"},
		"UpperLower":         {`[concat(toLower('A'), toUpper('b'))]`, `"aB"`, ""},
		"UpperOfArray":       {`[toUpper(createArray())]`, "", "text is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := evaluated(t, tc.expression)
			switch {
			case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("%s is %s, error %v, want one that says %q", tc.expression, got, err, tc.fails)
			case tc.fails == "" && (err != nil || got != tc.want):
				t.Errorf("%s is %s, error %v, want %s", tc.expression, got, err, tc.want)
			}
		})
	}
}

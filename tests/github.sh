#!/usr/bin/env bash
# GitHub's own published descriptions, trimmed to what the tests use.
#
#   tests/github.sh [FOLDER]      FOLDER: where to, the tests' cache by default
#
# Two packages are fetched at pinned versions through their registry's client, as it
# is configured here, and held to the digests below; nothing of them is committed.
# Left behind in FOLDER:
#
#   openapi.json    the routes of the list below, as JSON schemas
#   graphql.json    types, fields, arguments and values of the GraphQL schema
#   app.pem         a key of a GitHub App that exists nowhere, made here
#   app.pub.pem     its public half
#
# Lines that begin with `skipped` say what could not be made, and why.
set -euo pipefail
export LC_ALL=C

cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
into=${1:-$cache/github}
# A change of this file makes everything anew.
stamp=$(sha256sum <"$0" | cut -d' ' -f1)

if [ -f "$into/stamp" ] && [ "$(cat "$into/stamp")" = "$stamp" ]; then
    echo 'have github'
    exit 0
fi
for tool in 'npm --version' 'python3 --version' 'openssl version'; do
    if ! $tool >/dev/null 2>&1; then
        printf 'skipped github: `%s` does not run here\n' "$tool"
        exit 0
    fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fetch NAME FILE SHA512: only the archive; nothing of it is run.
fetch() {
    local name=$1 file=$2 sha512=$3
    (cd "$work" && npm pack --silent --ignore-scripts "$name" >/dev/null)
    printf '%s  %s\n' "$sha512" "$work/$file" | sha512sum --check --quiet
}

fetch @octokit/openapi@23.0.2 octokit-openapi-23.0.2.tgz \
    a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d070f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386
fetch @octokit/graphql-schema@15.26.1 octokit-graphql-schema-15.26.1.tgz \
    4450c2d8ca5105de00c5246f51e04855e054ee88cdfd2c437c02d477b89560e49e10ade065aa91d8c18ecac8f8661db18f6458e5f400513f8eaaaee1593ada30
tar -xzf "$work/octokit-openapi-23.0.2.tgz" -C "$work" package/generated/api.github.com.json
tar -xzf "$work/octokit-graphql-schema-15.26.1.tgz" -C "$work" package/schema.json

mkdir -p "$into"
rm -f "$into/stamp"

cat >"$work/routes" <<'END'
GET /app
POST /app-manifests/{code}/conversions
GET /app/hook/config
GET /app/hook/deliveries
POST /app/hook/deliveries/{delivery_id}/attempts
GET /app/installations
POST /app/installations/{installation_id}/access_tokens
GET /installation/repositories
GET /repos/{owner}/{repo}
GET /repos/{owner}/{repo}/branches/{branch}
POST /repos/{owner}/{repo}/check-runs
PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}
GET /repos/{owner}/{repo}/collaborators
GET /repos/{owner}/{repo}/collaborators/{username}/permission
GET /repos/{owner}/{repo}/commits/{ref}/check-runs
GET /repos/{owner}/{repo}/commits/{ref}/statuses
GET /repos/{owner}/{repo}/installation
GET /repos/{owner}/{repo}/issues
DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}
GET /repos/{owner}/{repo}/issues/comments/{comment_id}
PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}
GET /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions
POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions
DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions/{reaction_id}
GET /repos/{owner}/{repo}/issues/{issue_number}
DELETE /repos/{owner}/{repo}/issues/{issue_number}/assignees
GET /repos/{owner}/{repo}/issues/{issue_number}/comments
POST /repos/{owner}/{repo}/issues/{issue_number}/comments
GET /repos/{owner}/{repo}/issues/{issue_number}/labels
POST /repos/{owner}/{repo}/issues/{issue_number}/labels
DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}
GET /repos/{owner}/{repo}/issues/{issue_number}/timeline
GET /repos/{owner}/{repo}/labels/{name}
GET /repos/{owner}/{repo}/pulls
POST /repos/{owner}/{repo}/pulls
GET /repos/{owner}/{repo}/pulls/{pull_number}
PATCH /repos/{owner}/{repo}/pulls/{pull_number}
GET /repos/{owner}/{repo}/pulls/{pull_number}/comments
GET /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers
POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers
GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews
GET /repos/{owner}/{repo}/rules/branches/{branch}
POST /repos/{owner}/{repo}/statuses/{sha}
GET /user
GET /user/repos
GET /users/{username}
END

cat >"$work/trim.py" <<'END'
import json, sys

source, routes, into = sys.argv[1:]
spec = json.load(open(source))
parts = spec["components"]
KEPT = ("type", "enum", "properties", "required", "items", "additionalProperties", "format", "minItems", "maxItems",
        "minLength", "maxLength", "minimum", "maximum", "pattern", "not")
needed, done = [], {}


def named(ref):
    _, _, kind, name = ref.split("/")
    return kind, name


def schema(old):
    """An OpenAPI 3.0 schema as a JSON schema: `nullable` is a type there."""
    if "$ref" in old:
        kind, name = named(old["$ref"])
        assert kind == "schemas", old
        needed.append(name)
        return {"$ref": "#/$defs/" + name}
    new = {}
    for key in KEPT:
        if key in old:
            value = old[key]
            if key == "properties":
                value = {name: schema(of) for name, of in value.items()}
            elif key in ("items", "not") or (key == "additionalProperties" and isinstance(value, dict)):
                value = schema(value)
            new[key] = value
    # `oneOf` is written there where several match; GitHub's own answers would fail.
    for key in ("allOf", "anyOf", "oneOf"):
        if key in old:
            new.setdefault("anyOf" if key != "allOf" else key, []).extend(schema(of) for of in old[key])
    if old.get("nullable"):
        if "enum" in new and None not in new["enum"]:
            new["enum"] = new["enum"] + [None]
        if isinstance(new.get("type"), str) and "anyOf" not in new and "allOf" not in new:
            new["type"] = [new["type"], "null"]
        elif new:
            new = {"if": {"type": "null"}, "else": new}
    return new


def body(of):
    content = (of or {}).get("content") or {}
    kinds = [kind for kind in content if kind.startswith("application/json")]
    return schema(content[kinds[0]]["schema"]) if kinds and "schema" in content[kinds[0]] else None


def resolved(of):
    while "$ref" in of:
        kind, name = named(of["$ref"])
        of = parts[kind][name]
    return of


# A mistake there: this route alone wants the owner of an installation to be a user and an enterprise at once.
installations = spec["paths"]["/app/installations"]["get"]["responses"]["200"]["content"]["application/json"]
assert "allOf" in installations["schema"]["items"]["properties"]["account"], "the mistake was put right: remove this"
installations["schema"]["items"] = {"$ref": "#/components/schemas/installation"}

out = []
for line in open(routes):
    method, path = line.split()
    whole = spec["paths"][path]
    operation = whole[method.lower()]
    parameters = [resolved(one) for one in whole.get("parameters", []) + operation.get("parameters", [])]
    request = resolved(operation.get("requestBody", {}))
    out.append({
        "method": method,
        "path": path,
        "query": {one["name"]: {"required": one.get("required", False), "schema": schema(one["schema"])}
                  for one in parameters if one["in"] == "query"},
        "body": body(request),
        "body_required": request.get("required", False),
        "answers": {status: body(resolved(answer)) for status, answer in operation["responses"].items()},
    })
needed.append("basic-error")
while needed:
    name = needed.pop()
    if name not in done:
        done[name] = None
        done[name] = schema(parts["schemas"][name])
json.dump({"routes": out, "$defs": done}, open(into, "w"), sort_keys=True)
END
python3 "$work/trim.py" "$work/package/generated/api.github.com.json" "$work/routes" "$into/openapi.json"

cat >"$work/graphql.py" <<'END'
import json, sys

source, into = sys.argv[1:]


def words(of):
    """`[ID!]!` of the nested form."""
    if of["kind"] == "NON_NULL":
        return words(of["ofType"]) + "!"
    if of["kind"] == "LIST":
        return "[" + words(of["ofType"]) + "]"
    return of["name"]


def inputs(of):
    return {one["name"]: {"type": words(one["type"]), "default": one["defaultValue"] is not None} for one in of or []}


types = {}
for one in json.load(open(source))["__schema"]["types"]:
    types[one["name"]] = {
        "kind": one["kind"],
        "fields": {field["name"]: {"type": words(field["type"]), "args": inputs(field["args"])}
                   for field in one["fields"] or []},
        "inputs": inputs(one["inputFields"]),
        "values": [value["name"] for value in one["enumValues"] or []],
        "possible": [other["name"] for other in one["possibleTypes"] or []],
    }
json.dump(types, open(into, "w"), sort_keys=True)
END
python3 "$work/graphql.py" "$work/package/schema.json" "$into/graphql.json"

(umask 077 && openssl genrsa -out "$into/app.pem" 2048 2>/dev/null)
openssl rsa -in "$into/app.pem" -pubout -out "$into/app.pub.pem" 2>/dev/null
printf '%s\n' "$stamp" >"$into/stamp"
printf 'made github: %s routes, %s bytes; schema %s bytes\n' "$(wc -l <"$work/routes")" \
    "$(stat -c %s "$into/openapi.json")" "$(stat -c %s "$into/graphql.json")"

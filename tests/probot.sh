#!/usr/bin/env bash
# Fetches Probot and a Node.js that runs it, for the intake benchmark.
#
#   tests/probot.sh [FOLDER]      FOLDER: where to, the tests' cache by default
#
# Both are packages at pinned versions, fetched through the client of their
# registry as that client is configured here; nothing of them is committed. Left
# behind: FOLDER/node, FOLDER/node_modules and FOLDER/server.mjs, which listens
# on $PORT and verifies with $SECRET.
set -euo pipefail
export LC_ALL=C

probot=14.3.2
node=22.23.3

cache=${PRENTICE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prentice-tests}
into=${1:-$cache/probot}
# A change of this file makes everything anew.
stamp=$(sha256sum <"$0" | cut -d' ' -f1)

if [ "$(cat "$into/stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "have probot $probot"
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "skipped probot: npm is not here; install the package npm"
    exit 0
fi
rm -rf "$into"
mkdir -p "$into"
cd "$into"
printf '{ "private": true, "type": "module" }\n' >package.json
npm install --silent --no-audit --no-fund --no-update-notifier "probot@$probot" "node@$node" >log 2>&1 ||
    { tail -n 20 log >&2; echo "skipped probot: it cannot be fetched here"; exit 0; }
ln -s node_modules/.bin/node node
cat >server.mjs <<'END'
// One handler that does nothing: it verifies and parses, and stores nothing.
import { generateKeyPairSync } from "node:crypto";
import { pino } from "pino";
import { Probot, Server } from "probot";

const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "pkcs1", format: "pem" },
});
const log = pino({ level: "silent" });
const server = new Server({
  Probot: Probot.defaults({ appId: 1, privateKey, secret: process.env.SECRET, log }),
  host: "127.0.0.1",
  port: Number(process.env.PORT),
  webhookPath: "/hooks/hub",
  log,
});
await server.load((app) => {
  app.on("issues.labeled", async () => {});
});
await server.start();
console.log(`listening 127.0.0.1:${process.env.PORT}`);
END
./node --version >/dev/null || { echo "skipped probot: its node does not run here"; exit 0; }
echo "$stamp" >stamp
echo "made probot $probot with node $node"

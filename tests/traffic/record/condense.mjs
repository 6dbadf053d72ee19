// Makes the corpus from recordings: repeated files are left out, secrets of sessions replaced by others of the same shape.
import fs from "node:fs";
import crypto from "node:crypto";

const [, , source, target] = process.argv;
if (!target) { console.error("usage: node condense.mjs RECORDING CORPUS"); process.exit(2); }

/** Fields and cookies whose values let somebody in while the application runs. */
const SECRET = /((?:PHPSESSID|DokuWiki|DW[0-9a-f]{32}|sessionid|csrftoken|csrfmiddlewaretoken|sectok|\w*Token|\w*_session|\w*UserID|X-CSRFToken|token)(?:=|: |"\r\n\r\n|%22%3A%22))([A-Za-z0-9+/%_-]{16,})/gi;

/** Letters for letters, digits for digits, the same every time. */
function other(secret) {
  const bytes = crypto.createHash("sha256").update(`portcullis ${secret}`).digest();
  let place = 0;
  return secret.replace(/%[0-9A-F]{2}|[A-Za-z0-9]/g, (c) => {
    const n = bytes[place++ % 32];
    if (c.length > 1) return c;
    if (/\d/.test(c)) return String(n % 10);
    return String.fromCharCode((/[a-z]/.test(c) ? 97 : 65) + (/[a-f]/.test(c) ? n % 6 : n % 26));
  });
}

const bytes = fs.readFileSync(source);
const seen = new Set();
const out = [Buffer.from("portcullis traffic 1\n")];
let at = 0, kept = 0, all = 0;
while (at < bytes.length) {
  const end = bytes.indexOf("\n", at);
  const length = Number(bytes.subarray(at + 4, end));
  const request = bytes.subarray(end + 1, end + 1 + length).toString("latin1");
  at = end + 1 + length + 1;
  all++;
  const line = request.slice(0, request.indexOf("\r\n"));
  if (/^GET \S*?\.(?:png|svg|gif|css|js|ico|woff2?|jpg)(?:\?\S*)? /.test(line) || /^GET \/(?:admin\/(?:sprite|jsi18n)|lib\/exe\/(?:taskrunner|css|js|jquery))/.test(line)) {
    const key = line.replace(/\?.*/, "");
    if (seen.has(key)) continue;
    seen.add(key);
  } else if (line.startsWith("GET ")) {
    // The same page is asked for again and again; three times show all headers it comes with.
    const times = [1, 2, 3].find((n) => !seen.has(`${line} ${n}`));
    if (!times) continue;
    seen.add(`${line} ${times}`);
  }
  const scrubbed = request.replace(SECRET, (_, name, secret) => name + other(secret));
  out.push(Buffer.from(`=== ${Buffer.byteLength(scrubbed, "latin1")}\n`), Buffer.from(scrubbed, "latin1"), Buffer.from("\n"));
  kept++;
}
fs.writeFileSync(target, Buffer.concat(out));
console.log(`${source}: ${kept} of ${all} requests kept`);

// A recording proxy: passes bytes between a browser and one application and keeps each request as it was sent.
import net from "node:net";

/** Splits a client's bytes into requests; bodies come with Content-Length or chunked, as browsers send them. */
class Requests {
  constructor(keep) { this.keep = keep; this.buffer = Buffer.alloc(0); this.raw = false; }

  add(bytes) {
    if (this.raw) return;
    this.buffer = Buffer.concat([this.buffer, bytes]);
    for (;;) {
      const end = this.buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.buffer.subarray(0, end).toString("latin1").toLowerCase();
      const length = this.bodyLength(head, end + 4);
      if (length < 0 || this.buffer.length < end + 4 + length) return;
      this.keep(Buffer.from(this.buffer.subarray(0, end + 4 + length)));
      this.buffer = this.buffer.subarray(end + 4 + length);
      if (/\r\nupgrade:/.test(head)) { this.raw = true; return; }
    }
  }

  bodyLength(head, start) {
    if (/\r\ntransfer-encoding: *chunked/.test(head)) {
      const last = this.buffer.indexOf("0\r\n\r\n", start);
      return last < 0 ? -1 : last + 5 - start;
    }
    return Number(/\r\ncontent-length: *(\d+)/.exec(head)?.[1] ?? 0);
  }
}

/** Listens on `port` and passes on to `target`; `keep` gets every request. */
export function record(port, target, keep) {
  const server = net.createServer((client) => {
    const backend = net.connect(target, "127.0.0.1");
    const requests = new Requests(keep);
    client.on("data", (bytes) => { requests.add(bytes); backend.write(bytes); });
    backend.on("data", (bytes) => client.write(bytes));
    for (const [one, other] of [[client, backend], [backend, client]]) {
      one.on("end", () => other.end());
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  return new Promise((ready) => server.listen(port, "127.0.0.1", () => ready(server)));
}

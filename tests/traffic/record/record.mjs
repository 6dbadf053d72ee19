// Records what Chromium sends to three web applications while people write in them. README.md says how to run it.
import fs from "node:fs";
import { chromium } from "playwright-core";
import { record } from "./proxy.mjs";
import * as texts from "./texts.mjs";

const PASSWORD = "correct-horse-battery";
const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const [, , folder, rounds = "40"] = process.argv;
if (!folder) { console.error("usage: node record.mjs FOLDER [ROUNDS]"); process.exit(2); }

/** Name, host, port of the application, and the port the browser is sent to. */
const applications = {
  dokuwiki: { host: "notes.example.org", target: 8902, port: 8912 },
  mediawiki: { host: "wiki.example.org", target: 8903, port: 8913 },
  wagtail: { host: "www.example.org", target: 8904, port: 8914 },
};

/** Sends the form that a field belongs to, by one of its buttons where it is named. */
async function submit(page, field, button) {
  const sent = page.waitForNavigation({ timeout: 8000 });
  await page.locator(field).first().evaluate((element, name) => {
    const form = element.form;
    form.requestSubmit(name ? form.querySelector(`button[name="${name}"]`) : undefined);
  }, button);
  await sent;
}

/** Browser storage files for uploads: a picture, a text, a PDF head, made here. */
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4nGP8z4APMOGVZRip0gBBLAEPJRtVDgAAAABJRU5ErkJggg==", "base64");
const upload = (name, mimeType, buffer) => ({ name, mimeType, buffer });

async function attempt(what, step) {
  try { await step(); } catch (error) { console.error(`${what}: ${String(error).split("\n")[0]}`); }
}

async function dokuwiki(page, base, r, count) {
  await page.goto(`${base}/doku.php?id=start&do=login`);
  await page.fill('input[name="u"]', "editor");
  await page.fill('input[name="p"]', PASSWORD);
  await page.check('input[name="r"]').catch(() => {});
  await Promise.all([page.waitForNavigation(), page.click('#dokuwiki__content button[type="submit"]')]);
  for (let n = 0; n < count; n++) {
    const id = r.pick(["team", "projects", "howto", "protokoll", "wiki"]) + ":" + r.pick(["minutes", "o_brien", "größe", "budget_2024", "c_plus_plus", "faq", "übergabe", "rock_n_roll", "plan"]) + "_" + n;
    await attempt("edit", async () => {
      await page.goto(`${base}/doku.php?id=${encodeURIComponent(id)}&do=edit`);
      const text = [r.article(), r.next() < 0.35 ? r.pick(texts.markup) : "", r.next() < 0.25 ? `<code>\n${r.pick(texts.code)}\n</code>` : "", r.next() < 0.3 ? `Contact: ${r.pick(texts.names)}` : ""].join("\n\n");
      await page.fill("#wiki__text", text);
      await page.locator("#wiki__text").press("End");
      if (r.next() < 0.6) await page.fill("#edit__summary", r.pick(texts.sentences).slice(0, 90));
      if (r.next() < 0.5) await Promise.all([page.waitForNavigation(), page.click("#edbtn__preview")]);
      await Promise.all([page.waitForNavigation(), page.click("#edbtn__save")]);
    });
    await attempt("search", async () => {
      await page.locator("#qsearch__in").pressSequentially(r.pick(texts.queries), { delay: 60 });
      await page.waitForTimeout(700);
      await Promise.all([page.waitForNavigation(), page.locator("#qsearch__in").press("Enter")]);
    });
    if (n % 3 === 0) await attempt("tour", async () => {
      for (const action of ["recent", "revisions", "backlink", "index", "media", "profile", "diff"]) await page.goto(`${base}/doku.php?id=${encodeURIComponent(id)}&do=${action}`);
    });
    if (n % 5 === 1) await attempt("media", async () => {
      await page.goto(`${base}/doku.php?id=start&do=media&ns=team&tab_files=upload`);
      const input = page.locator('input[type="file"]').first();
      const name = r.pick(["Lageplan Büro.png", "O'Brien (final).png", "scan_0815.png", "日本.png", "menu & prices.png", "résumé.png"]);
      await input.setInputFiles(upload(name.replace(".png", `_${n}.png`), "image/png", png));
      await page.waitForTimeout(300);
      await page.click("#mediamanager__upload_button");
      await page.waitForTimeout(800);
    });
  }
  await attempt("profile", async () => {
    await page.goto(`${base}/doku.php?do=profile`);
    await page.fill('input[name="fullname"]', "Siobhan O'Brien-d'Arcy");
    await page.fill('input[name="oldpass"]', PASSWORD);
    await Promise.all([page.waitForNavigation(), page.locator('form#dw__register button[type="submit"]').click()]);
  });
  await attempt("configuration", async () => {
    await page.goto(`${base}/doku.php?id=start&do=admin&page=config`);
    await page.fill('input[name="config[tagline]"]', "Notes, plans & what's next");
    await Promise.all([page.waitForNavigation(), page.locator('#dw__configform button[name="submit"], #dw__configform button[type="submit"]').first().click()]);
  });
}

async function mediawiki(page, base, r, count) {
  await page.goto(`${base}/index.php?title=Special:UserLogin`);
  await page.fill("#wpName1", "Admin");
  await page.fill("#wpPassword1", PASSWORD);
  await Promise.all([page.waitForNavigation(), page.click("#wpLoginAttempt")]);
  for (let n = 0; n < count; n++) {
    const title = `${r.pick(["Minutes", "O'Reilly (publisher)", "Größen", "C++ notes", "Budget", "R&D plan", "Café \"Zum Löwen\"", "日本語", "What's new?", "Übergabe"])} ${n}`;
    await attempt("edit", async () => {
      await page.goto(`${base}/index.php?title=${encodeURIComponent(title)}&action=edit`);
      const text = [r.article(), r.next() < 0.35 ? r.pick(texts.markup) : "", r.next() < 0.25 ? `<syntaxhighlight lang="text">\n${r.pick(texts.code)}\n</syntaxhighlight>` : "", r.next() < 0.3 ? `== Contact ==\n${r.pick(texts.names)} <ref>${r.pick(texts.sentences)}</ref>` : ""].join("\n\n");
      await page.fill("#wpTextbox1", text);
      if (r.next() < 0.6) await page.fill("#wpSummary", r.pick(texts.sentences).slice(0, 90));
      if (r.next() < 0.5) await Promise.all([page.waitForNavigation(), page.click("#wpPreview")]);
      if (r.next() < 0.3) await Promise.all([page.waitForNavigation(), page.click("#wpDiff")]);
      await Promise.all([page.waitForNavigation(), page.click("#wpSave")]);
    });
    await attempt("search", async () => {
      await page.locator("#searchInput").pressSequentially(r.pick(texts.queries), { delay: 90 });
      await page.waitForTimeout(600);
      await Promise.all([page.waitForNavigation(), page.locator("#searchInput").press("Enter")]);
    });
    if (n % 3 === 0) await attempt("tour", async () => {
      for (const special of ["RecentChanges?days=30&limit=50", "AllPages?from=C%2B%2B", "Watchlist", "Preferences", "Contributions/Admin", "WhatLinksHere/Main_Page", "Version"]) await page.goto(`${base}/index.php/Special:${special}`);
      await page.goto(`${base}/index.php?title=${encodeURIComponent(title)}&action=history`);
    });
    if (n % 4 === 1) await attempt("api", async () => {
      // What the pages' own scripts do on their buttons: watch, thank, preview.
      await page.goto(`${base}/index.php?title=${encodeURIComponent(title)}`);
      await page.locator("#ca-watch a, #ca-unwatch a").first().click({ timeout: 3000 });
      await page.waitForTimeout(500);
      await page.evaluate(async (wikitext) => {
        await mw.loader.using("mediawiki.api");
        const api = new mw.Api();
        await api.post({ action: "parse", text: wikitext, contentmodel: "wikitext", prop: "text|langlinks|categories", preview: true, formatversion: 2 });
        await api.postWithToken("csrf", { action: "options", optionname: "gender", optionvalue: "unknown" });
        await api.get({ action: "query", list: "search", srsearch: wikitext.slice(0, 40), generator: undefined, formatversion: 2 });
      }, r.article());
    });
    if (n % 6 === 3) await attempt("upload", async () => {
      await page.goto(`${base}/index.php/Special:Upload`);
      await page.setInputFiles("#wpUploadFile", upload(`Plan O'Brien & Söhne ${n}.png`, "image/png", Buffer.concat([png, Buffer.alloc(1)])));
      await page.fill("#wpUploadDescription", r.article());
      await page.check("#wpIgnoreWarning").catch(() => {});
      await Promise.all([page.waitForNavigation(), page.click('input[name="wpUpload"]')]);
    });
  }
}

async function wagtail(page, base, r, count) {
  await page.goto(`${base}/admin/login/`);
  await page.fill('input[name="username"]', "admin");
  await page.fill('input[name="password"]', PASSWORD);
  await Promise.all([page.waitForNavigation(), page.click('button[type="submit"]')]);
  for (let n = 0; n < count; n++) {
    await attempt("article", async () => {
      await page.goto(`${base}/admin/pages/add/home/articlepage/3/`);
      const name = r.pick(texts.names);
      await page.fill("#id_title", `${name}: ${r.pick(texts.queries)} ${n}`);
      await page.fill("#id_intro", r.pick(texts.sentences));
      if (r.next() < 0.5) await page.fill("#id_date", "2024-02-29");
      if (r.next() < 0.5) await page.fill("#id_link", r.pick(["https://example.com/a?b=c&d=e%20f#g", "https://docs.example.org/v1.2/o'brien/?token=Zm9vYmFy&next=/home/", "http://example.net:8080/index.php?page=2&sort=-date"]));
      await page.fill("#id_summary", r.next() < 0.3 ? `${r.prose(1)}\n\n${r.pick(texts.markup)}` : r.prose(2));
      const editor = page.locator(".public-DraftEditor-content").first();
      await editor.click();
      await page.keyboard.insertText(r.article());
      await page.keyboard.press("Enter");
      await page.keyboard.press("Control+b");
      await page.keyboard.insertText(r.pick(texts.names));
      await page.waitForTimeout(900);
      await submit(page, "#id_title");
      if (r.next() < 0.5) {
        await page.fill("#id_summary", r.prose(3) + (r.next() < 0.3 ? `\n${r.pick(texts.code)}` : ""));
        await page.waitForTimeout(900);
        await submit(page, "#id_title", "action-publish");
      }
    });
    await attempt("search", async () => {
      await page.goto(`${base}/admin/pages/search/?q=${encodeURIComponent(r.pick(texts.queries))}`);
      await page.locator('#id_q, input[name="q"]').first().fill("");
      await page.locator('#id_q, input[name="q"]').first().pressSequentially(r.pick(texts.queries).slice(0, 12), { delay: 70 });
      await page.waitForTimeout(700);
      await page.goto(`${base}/search/?query=${encodeURIComponent(r.pick(texts.queries))}`);
    });
    if (n % 4 === 0) await attempt("image", async () => {
      await page.goto(`${base}/admin/images/add/`);
      await page.setInputFiles("#id_file", upload(r.pick([`Photo d'équipe ${n}.png`, `o'brien_${n}.png`, `Foto (Büro) ${n}.png`]), "image/png", png));
      await page.fill("#id_title", `Team photo (${r.pick(texts.names)}) ${n}`);
      await submit(page, "#id_title");
    });
    if (n % 4 === 2) await attempt("document", async () => {
      await page.goto(`${base}/admin/documents/add/`);
      await page.setInputFiles("#id_file", upload(r.pick(["notes.txt", "Größen.csv", "o'brien.md"]), "text/plain", Buffer.from(`${r.article()}\n\n${r.pick(texts.code)}\n`)));
      await page.fill("#id_title", r.pick(texts.sentences).slice(0, 80));
      await submit(page, "#id_title");
    });
    if (n % 3 === 1) await attempt("tour", async () => {
      for (const path of ["", "pages/3/", "images/", "documents/?ordering=-created_at", "reports/site-history/", "users/", "account/", "redirects/"]) await page.goto(`${base}/admin/${path}`);
    });
    if (n % 8 === 5) await attempt("redirect", async () => {
      await page.goto(`${base}/admin/redirects/add/`);
      await page.fill("#id_old_path", `/old/o'brien-${n}/`);
      await page.fill("#id_redirect_link", "https://example.com/new/?from=old&id=1");
      await submit(page, "#id_old_path");
    });
  }
  await attempt("account", async () => {
    await page.goto(`${base}/admin/account/`);
    await page.fill('input[name="name_email-first_name"]', "Siobhán");
    await page.fill('input[name="name_email-last_name"]', "O'Brien-Ñúñez");
    await submit(page, 'input[name="name_email-last_name"]');
  });
}

const drivers = { dokuwiki, mediawiki, wagtail };
const wanted = process.argv[4] ? process.argv[4].split(",") : Object.keys(applications);
const rules = Object.values(applications).map((a) => `MAP ${a.host}:80 127.0.0.1:${a.port}`).join(", ");
const secure = Object.values(applications).map((a) => `http://${a.host}`).join(",");
for (const name of wanted) {
  const application = applications[name];
  const kept = [];
  const server = await record(application.port, application.target, (request) => kept.push(request));
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", `--host-resolver-rules=${rules}`, `--unsafely-treat-insecure-origin-as-secure=${secure}`, "--disable-background-networking"],
  });
  const context = await browser.newContext({ userAgent: AGENT, locale: name === "dokuwiki" ? "de-DE" : "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(10000);
  page.on("dialog", (dialog) => dialog.accept().catch(() => {}));
  await attempt(name, () => drivers[name](page, `http://${application.host}`, texts.random(Number(process.env.SEED ?? 4711) + name.length), Number(rounds)));
  await browser.close();
  server.close();
  const parts = kept.flatMap((request) => [Buffer.from(`=== ${request.length}\n`), request, Buffer.from("\n")]);
  fs.writeFileSync(`${folder}/${name}.raw`, Buffer.concat(parts));
  console.log(`${name}: ${kept.length} requests, ${kept.filter((k) => !k.subarray(0, 4).equals(Buffer.from("GET "))).length} not GET`);
}
process.exit(0);

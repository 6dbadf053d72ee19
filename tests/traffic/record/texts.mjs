// What people type: prose in several languages, names, code, markup, addresses. Written for this corpus.
export const names = [
  "Siobhan O'Brien", "Jean-Luc d'Arcy", "Ana María Ñúñez", "Łukasz Żółć", "Dvořák & Söhne GmbH", "N'Golo Kanté", "Björk Guðmundsdóttir", "李小龙", "Мария Иванова",
  "محمد علي", "Ngũgĩ wa Thiong'o", "Smith, John (jr.)", "Renée 'Ren' Müller", "D'Angelo \"Dee\" Rossi", "山田 太郎", "Conan O’Neill", "Selma A/S", "Cher", "Null, Robert",
  "Union Select Foods Ltd.", "Drop & Table Furniture", "Björn Åström-O'Hara", "Δημήτρης Παπαδόπουλος", "Zoë Kravitz-Übel",
];
export const sentences = [
  "The meeting is moved to Thursday at 10:30; please bring last quarter's figures (all of them).",
  "We select the union representatives from the list of members, where each of them has one vote and nobody drops out.",
  "Can't open the file? It's usually because it isn't saved yet -- try again, or ask the team's admin.",
  "Das Gerät läuft zwar, aber die Anzeige \"Übertemperatur\" erlischt nicht; bitte den Lüfter (Pos. 7/3) prüfen.",
  "L'équipe a décidé d'augmenter l'effort de 15 % à 20 %, c'est-à-dire « nettement plus » qu'à l'été 2023.",
  "¿Cuándo llega el pedido? El cliente pregunta por la factura nº 2024/0815 desde el lunes pasado...",
  "Wer anderen eine Grube gräbt, fällt selbst hinein; das gilt für Updates am Freitag um 17 Uhr erst recht!",
  "Per favore, controllate l'indirizzo: Via dell'Orso 12, 20121 Milano; il citofono è rotto.",
  "Nie ma sprawy: zażółć gęślą jaźń, a potem wyślij raport do działu kadr.",
  "会議は木曜日の10時半に変更されました。資料は前日までに共有してください。",
  "请在星期五之前提交报告,并附上所有相关的图表和数据来源。",
  "Встреча перенесена на четверг; пожалуйста, возьмите с собой отчёт за прошлый квартал.",
  "يرجى إرسال التقرير قبل نهاية الأسبوع مع جميع المرفقات.",
  "Vi ses på fredag kl. 14 – husk kaffe, blåbær & smør til morgenmøtet.",
  "Order 66 boxes; if 1 = 1 pallet or 2 = 1 truck, then we need 3 trucks and one more for the rest.",
  "Price: 3 < 5 and 7 > 6, so a/b > c; savings are $1,200.50 (= 12.5%) or €1.100,-.",
  "In table 4 from the appendix, group by region having more than 10 shops, order by turnover; limit the list to 20.",
  "She said: \"I'll be there at 8; or at 9, if the train's late\" -- and then she wasn't.",
  "Please delete the old entries from the list and insert the new ones into the calendar; update the set of phone numbers where needed.",
  "Das Passwort wird nie per E-Mail verschickt; auch nicht, wenn jemand danach fragt.",
  "Temperature between -5°C and +12°C, wind SW 4-5 Bft; rain likely (70%).",
  "Read the manual (section 3.2.1), execute the steps in order, and let the system restart; exec summary follows.",
  "The script on page 12 of the play: onstage we hear the alert, the curtain opens, a document falls from the window.",
  "I love C++, C# and F#; my colleague prefers Perl's $_ and PHP's $this-> style. Java's import java.util.* is fine too.",
  "TODO: ask Bob re: invoice #4711/b; cc: alice@example.org, team+news@example.com",
  "https://intranet.example.com/docs?id=4711&token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExIn0.c2lnbmF0dXJl#section-2 has the details.",
  "See https://de.wikipedia.org/wiki/Gr%C3%B6%C3%9Fe?action=history&curid=12 and http://example.com:8080/path/?q=a+b%20c for more.",
  "Meet at 52.5200° N, 13.4050° E; parking is in C:\\Temp no longer, use \\\\fileserver\\public\\maps instead.",
  "Recipe: 2-3 eggs, 1/2 cup of sugar, a pinch of salt; mix, cat not included; more or less 30 minutes @ 180°C.",
  "Our motto -- think | plan | act -- has worked since '98; ping me if it doesn't.",
  "Wait... what?! No way!!! :-) ;-) <3 ¯\\_(ツ)_/¯ 👍🎉",
  "FYI: the HTML element <b> makes text bold; <br> breaks the line & &nbsp; is a blank.",
  "Let x = {1, 2, 3}; the sum is 6 and the mean is 2. If y > x then stop, else go on.",
  "Who's on first? What's on second; I don't know's on third.",
];
export const code = [
  "for (let i = 0; i < list.length; i++) {\n  console.log(`${i}: ${list[i].name}`);\n}",
  "def mean(values):\n    return sum(values) / len(values) if values else None\n\nprint(mean([1, 2, 3]))",
  "<ul class=\"menu\">\n  <li><a href=\"/home\">Home</a></li>\n  <li><a href=\"/about?lang=en\">About us</a></li>\n</ul>",
  "body {\n  font-family: \"Helvetica Neue\", sans-serif;\n  margin: 0 auto;\n  color: #333;\n}",
  "#!/bin/sh\nset -e\nmake clean && make -j4\nls -l build/*.o | wc -l",
  "{\n  \"name\": \"demo\",\n  \"version\": \"1.0.0\",\n  \"tags\": [\"a\", \"b\"],\n  \"nested\": {\"ok\": true, \"none\": null}\n}",
  "fn main() {\n    let total: u32 = (1..=10).filter(|n| n % 2 == 0).sum();\n    println!(\"{total}\");\n}",
  "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello, 世界\") }",
];
export const markup = [
  "# Heading\n\n* one\n* two **bold** and _italic_\n\n> quoted, with `inline code` and a [link](https://example.com/a?b=c&d=e)\n\n1. first\n2. second\n",
  "====== Minutes ======\n\n  * Present: O'Brien, d'Arcy\n  * //Agenda:// budget, **holidays**, misc.\n\n^ Item ^ Cost ^\n| Coffee | 12,50 € |\n| Cake | 8 € |\n",
  "== Overview ==\n'''Bold''' and ''italic'', a [[Main Page|link]] and a reference.\n\n{| class=\"wikitable\"\n! Name !! Value\n|-\n| a || 1\n|}\n",
  "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [ ] open task\n- [x] done: see #42, @bob & co.\n",
];
export const queries = [
  "annual report 2023", "o'brien", "naïve café", "C++ tutorial", "\"exact phrase\"", "50% off", "R&D budget", "rock 'n' roll", "Größe äöü", "what's new?", "a+b=c", "select committee",
  "union station", "table of contents", "drop-down menu", "日本語", "état d'âme", "100 < 200", "e-mail: info@example.com", "(draft)", "tcp/ip", "order by date", "#hashtag", "5 o'clock",
  "либо", "javascript: the good parts", "script font", "alert level", "passwd policy", "ping pong", "cat & dog", "id card", "group by region", "or not", "sleep(well)", "file:///",
];

/** A small generator, so that a run can be repeated. */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
  const pick = (list) => list[Math.floor(next() * list.length)];
  return {
    next, pick,
    prose: (count) => Array.from({ length: count }, () => pick(sentences)).join(" "),
    article: () => {
      const parts = [];
      for (let n = 1 + Math.floor(next() * 4); n > 0; n--) parts.push(Array.from({ length: 1 + Math.floor(next() * 4) }, () => pick(sentences)).join(" "));
      return parts.join("\n\n");
    },
  };
}

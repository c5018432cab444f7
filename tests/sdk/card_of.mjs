/** node card_of.mjs MODEL CARD SIGNERS ROWS: what openModel says of a shipped model, its outputs and answers for rows. */

import { readFileSync } from "node:fs";

import { answer } from "../../sdk/answer.js";
import { openModel, trustedKeys } from "../../sdk/card.js";
import { run } from "../../sdk/model.js";

const [modelPath, cardPath, signersPath, rowsPath] = process.argv.slice(2);
const file = new Uint8Array(readFileSync(modelPath)).slice().buffer;
const trusted = await trustedKeys(readFileSync(signersPath, "utf8"));
const { model, card } = await openModel(file, readFileSync(cardPath, "utf8"), { trusted, profile: "compat" });
const { rows } = JSON.parse(readFileSync(rowsPath, "utf8"));
const features = (values, voicedFrames) => ({ values, profile: model.profile, version: model.version, quality: { voicedFrames } });
console.log(
  JSON.stringify({
    attribute: card.attribute,
    outputs: rows.map((row) => Array.from(run(model, row))),
    answers: rows.map((row) => answer({ model, card }, features(row, 100))),
    hushed: answer({ model, card }, features(rows[0], 19)),
  }),
);

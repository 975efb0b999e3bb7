// HL7 software of others as one program: what it gets it writes to standard output, a JSON line each.
//
//   node peer.mjs medplum-send PORT FILE    one message by @medplum/hl7, and its reply
//   node peer.mjs medplum-listen            a listener of @medplum/hl7 on any port, which acknowledges; ends with its input
//   node peer.mjs client-send PORT FILE     one message by node-hl7-client, and its reply
//   node peer.mjs client-batch PORT FILE    the same message twice in a batch that node-hl7-client builds
import { readFileSync } from 'node:fs';
import { Hl7Message } from '@medplum/core';
import { Hl7Client, Hl7Server } from '@medplum/hl7';
import { Batch, Client, Message } from 'node-hl7-client';

const [mode, port, file] = process.argv.slice(2);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const text = () => readFileSync(file, 'utf-8').trimEnd();

const modes = {
  async 'medplum-send'() {
    const client = new Hl7Client({ host: '127.0.0.1', port: Number(port) });
    say((await client.sendAndWait(Hl7Message.parse(text()))).toString());
    client.close();
  },
  async 'medplum-listen'() {
    const server = new Hl7Server((connection) => {
      connection.addEventListener('message', ({ message }) => {
        say(message.getSegment('MSH').getField(10).toString());
        connection.send(message.buildAck());
      });
    });
    server.start(0);
    await new Promise((ready) => server.server.once('listening', ready));
    say(server.server.address().port);
    process.stdin.on('end', () => process.exit()).resume();
  },
  'client-send': () => byClient(new Message({ text: text() })),
  'client-batch'() {
    const batch = new Batch();
    batch.start();
    batch.set('BHS.11', 'B1');
    batch.add(new Message({ text: text() }));
    batch.add(new Message({ text: text().replace('|C1|', '|C2|') }));
    batch.end();
    return byClient(batch);
  },
};

async function byClient(message) {
  const client = new Client({ host: '127.0.0.1' });
  const connection = client.createConnection({ port: Number(port) }, (response) => {
    say(response.getMessage().toString());
    client.closeAll();
    process.exit();
  });
  connection.on('client.error', (error) => { say(String(error)); process.exit(1); });
  await connection.sendMessage(message);
}

await modes[mode]();

const http = require('http');

http.createServer((_, answer) => answer.end('hello\n')).listen(Number(process.env.PORT));

// Nothing ends the first process of a container that does not ask for it.
process.on('SIGTERM', () => process.exit(0));

const http = require('http');

http.createServer((_, answer) => answer.end('hello\n')).listen(Number(process.env.PORT));

function e(e){let t=e.split(`
`).length-1;return t>0&&e.split(`\r
`).length-1===t?`\r
`:`
`}export{e as t};
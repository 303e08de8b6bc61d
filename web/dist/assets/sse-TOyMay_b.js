import{C as e}from"./index-B0amg_8Q.js";async function t(t,n,r){let i=await e(t,{headers:{Accept:`text/event-stream`},signal:n});if(!i.body)return;let a=i.body.pipeThrough(new TextDecoderStream).getReader(),o=``;for(;;){let{done:e,value:t}=await a.read();if(e)return;o+=t.replaceAll(`\r
`,`
`);let n=o.split(`

`);o=n.pop()??``;for(let e of n){let t=e.split(`
`).filter(e=>e.startsWith(`data:`)).map(e=>e.slice(5).replace(/^ /,``)).join(`
`);if(t===`[DONE]`)return;t&&r(t)}}}export{t};
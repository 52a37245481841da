import './style.css';
import './view/stage.css';
import { SightlineApp } from './view/app';

customElements.define('sightline-app', SightlineApp);
